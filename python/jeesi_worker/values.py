"""Makes JSON of what an agent returns or yields."""

import base64
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import os
import uuid

# Values in one result, all of its parts together. An iterator may have no end.
MAX_VALUES = 1_000_000
# Levels. Deeper values overflow the stack of those who read them.
MAX_DEPTH = 100


class ResultError(Exception):
    """A result has no JSON. The message is for the caller."""


def to_text(value):
    """A string as it is, anything else as JSON. Raises ResultError, and ValueError for numbers that JSON does not have."""
    if isinstance(value, str):
        return value
    try:
        return dumps(value)
    except TypeError:
        # Some part has a type that JSON does not know.
        return dumps(Converter().plain(value))


def dumps(value):
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class Converter:
    """Replaces what JSON does not know, within the limits of one result."""

    def __init__(self):
        self._count = 0

    def plain(self, value, depth=0):
        self._count += 1
        if self._count > MAX_VALUES:
            raise ResultError(f'It returned more than {MAX_VALUES:,} values.')
        if depth > MAX_DEPTH:
            raise ResultError(f'It returned a value that is nested deeper than {MAX_DEPTH} levels.')
        if isinstance(value, enum.Enum):
            return self.plain(value.value, depth + 1)
        if value is None or type(value) in (str, bool, int, float):
            return value
        if isinstance(value, collections.abc.Mapping):
            return {self._key(key): self.plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.plain(item, depth + 1) for item in value]
        if isinstance(value, (str, int, float)):
            return scalar(value)
        return self._convert(value, depth + 1)

    def _convert(self, value, depth):
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: self.plain(getattr(value, field.name), depth) for field in dataclasses.fields(value)}
        known, converted = known_value(value)
        if known:
            return converted
        # Arrays and scalars of numpy, tables of pandas, and whatever is made like them. Their size is known before they are copied.
        if callable(getattr(value, 'tolist', None)):
            size = getattr(value, 'size', None)
            if isinstance(size, int) and size > MAX_VALUES:
                raise ResultError(f'It returned more than {MAX_VALUES:,} values.')
            return self.plain(value.tolist(), depth)
        if callable(getattr(value, 'to_dict', None)) and hasattr(value, 'columns'):
            return self.plain(value.to_dict('records'), depth)
        if callable(getattr(value, 'item', None)):
            return self.plain(value.item(), depth)
        if isinstance(value, (set, frozenset)):
            return in_order([self.plain(item, depth) for item in value])
        if isinstance(value, collections.abc.Iterable) and not isinstance(value, type):
            return [self.plain(item, depth) for item in value]
        raise ResultError(f'It returned a value of the type {type(value).__name__}, which has no JSON.')

    def _key(self, key):
        """The name of a member: JSON has nothing but strings."""
        key = self.plain(key)
        if isinstance(key, str):
            return key
        if key is None or isinstance(key, (bool, int, float)):
            return json.dumps(key)
        raise ResultError('It returned an object with a key that is no string, number or date.')


def scalar(value):
    """Of a subclass, such as a float of numpy, the plain value."""
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)


def known_value(value):
    """Whether the type is one that has a usual form in JSON, and that form."""
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return True, value.isoformat()
    if isinstance(value, datetime.timedelta):
        return True, value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return True, number(value)
    if isinstance(value, fractions.Fraction):
        return True, value.numerator if value.denominator == 1 else float(value)
    if isinstance(value, uuid.UUID):
        return True, str(value)
    if isinstance(value, os.PathLike):
        return True, os.fsdecode(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return True, base64.b64encode(value).decode()
    return False, None


def number(value):
    """A whole Decimal exactly, any other as the nearest float."""
    _, digits, exponent = value.as_tuple()
    if isinstance(exponent, int) and exponent >= 0 and len(digits) + exponent <= 30:
        return int(value)
    return float(value)


def in_order(items):
    """A set has no order: the same one has the same JSON where its items can be sorted."""
    try:
        return sorted(items)
    except TypeError:
        return items
