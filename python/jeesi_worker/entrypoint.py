"""Entrypoints: `package.module:function`."""

import importlib
import inspect
import re

PATTERN = re.compile(r'[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*', re.ASCII)


class EntrypointError(Exception):
    """There is no such function; the message says why."""


def load(entrypoint):
    if not isinstance(entrypoint, str) or not PATTERN.fullmatch(entrypoint):
        raise EntrypointError(f'The entrypoint must be package.module:function; {str(entrypoint)[:200]!r} is not.')
    module_name, name = entrypoint.split(':')
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f'{error.name}.')):
            raise EntrypointError(f'There is no Python module {module_name}.') from error
        raise EntrypointError(f'The Python module {module_name} needs {error.name}, which is not installed.') from error
    except Exception as error:
        raise EntrypointError(f'The Python module {module_name} cannot be imported: {type(error).__name__}: {error}') from error
    if not hasattr(module, name):
        raise EntrypointError(f'The Python module {module_name} has no function {name}.')
    function = getattr(module, name)
    if not callable(function):
        raise EntrypointError(f'{entrypoint} is not a function.')
    return function


def call(function, value, context):
    """Calls it with the value, and with the context where it takes one."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return function(value)
    if any(p.name == 'context' and p.kind is p.KEYWORD_ONLY for p in parameters):
        return function(value, context=context)
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    takes_context = len(places) > 1 or any(p.kind is p.VAR_POSITIONAL for p in places)
    return function(value, context) if takes_context else function(value)
