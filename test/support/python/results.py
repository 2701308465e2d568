"""Agents that return what JSON does not know. numpy and pandas are not installed for tests: classes stand in for theirs."""

import collections
import dataclasses
import datetime
import decimal
import enum
import itertools
import pathlib
import uuid


class Scalar:
    """Stands in for a scalar of numpy or torch that has no `tolist`."""

    def __init__(self, value):
        self.value = value

    def item(self):
        return self.value


class Array:
    """Stands in for an array of numpy."""

    def __init__(self, values, size=None):
        self.values, self.size = values, len(values) if size is None else size

    def tolist(self):
        return self.values


class Table:
    """Stands in for a DataFrame of pandas, which iterates over the names of its columns."""

    columns = ['a', 'b']

    def to_dict(self, orient):
        return [{'a': Scalar(1), 'b': None}] if orient == 'records' else {}

    def __iter__(self):
        return iter(self.columns)


class Float(float):
    """Stands in for numpy's float64, which is a float."""


class Colour(enum.Enum):
    RED = 'red'


@dataclasses.dataclass
class Point:
    x: int
    when: datetime.date


Pair = collections.namedtuple('Pair', 'a b')
ID = uuid.UUID('c0000000-0000-4000-8000-000000000001')

VALUES = {
    'scalar': lambda: Scalar(3),
    'array': lambda: Array([[1.5, Scalar(2)], [True, None]]),
    'table': Table,
    'float': lambda: [Float(0.5), ID],
    'decimal': lambda: [decimal.Decimal('1.50'), decimal.Decimal('12345678901234567890'), decimal.Decimal('1E+3'), decimal.Decimal('-0.1')],
    'time': lambda: [
        datetime.datetime(2026, 3, 29, 8, 30, tzinfo=datetime.timezone.utc), datetime.date(2026, 3, 29), datetime.time(8, 30),
        datetime.timedelta(minutes=1.5)],
    'uuid': lambda: ID,
    'set': lambda: [{3, 1, 2}, frozenset()],
    'bytes': lambda: [b'\xff\x00', bytearray(b'a')],
    'dataclass': lambda: Point(1, datetime.date(2026, 3, 29)),
    'others': lambda: [Colour.RED, pathlib.PurePosixPath('/tmp/x'), Pair(1, ID), collections.deque([1]), {'a': 1}.values(), range(3)],
    'iterator': lambda: map(str, [1, 2]),
    'nested': lambda: {'all': (Scalar(n) for n in range(3)), 'zip': zip('ab', [1, 2])},
    'keys': lambda: {1: 'a', ID: 'b', datetime.date(2026, 3, 29): 'c', None: 'd', Scalar(2): 'e'},
    'endless': lambda: itertools.count(),
    'large': lambda: Array([], size=2_000_000),
    'itself': lambda: deep(),
    'function': lambda: [deep],
    'tuple_key': lambda: {(1, 2): ID},
    'nan': lambda: [Scalar(float('nan'))],
    'huge': lambda: [decimal.Decimal('1E+999999999')],
}


def deep():
    array = Array([])
    array.values = array
    return array


def returned(input, context):
    return VALUES[input['prompt']]()


def yielded(input, context):
    yield Scalar(1)
    yield ' '
    yield decimal.Decimal('2.5')
    return {ID}
