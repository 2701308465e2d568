"""Entrypoints: `package.module:function`."""

import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
import sysconfig

PATTERN = re.compile(r'[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*', re.ASCII)


# The worker's own modules are nobody's agents.
OWN = ('jeesi_worker', 'worker')
STDLIB = {os.path.realpath(path) for path in (
    sysconfig.get_paths()['stdlib'], sysconfig.get_paths()['platstdlib'], os.path.dirname(os.__file__))}


class EntrypointError(Exception):
    """There is no such function; the message says why."""


def load(entrypoint):
    if not isinstance(entrypoint, str) or not PATTERN.fullmatch(entrypoint):
        raise EntrypointError(f'The entrypoint must be package.module:function; {str(entrypoint)[:200]!r} is not.')
    module_name, name = entrypoint.split(':')
    try:
        # Before it is imported: that alone may do something.
        if not is_permitted(module_name):
            raise not_ours(entrypoint)
        module = importlib.import_module(module_name)
    except EntrypointError:
        raise
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
    # A module may have imported what it is no good idea to call.
    home = home_of(function)
    if home not in sys.modules or not is_permitted(home):
        raise not_ours(entrypoint)
    return function


def not_ours(entrypoint):
    return EntrypointError(f"{entrypoint} is not one of this service's modules.")


def home_of(function):
    while isinstance(function, functools.partial):
        function = function.func
    home = getattr(function, '__module__', None)
    return home if isinstance(home, str) else ''


def is_permitted(module_name):
    """Whether a module is of the service or was installed for it; one that is not there is, for want of a place."""
    parts = module_name.split('.')
    if parts[0] in OWN or not parts[0]:
        return False
    # From the package inwards: finding a module imports the packages that it is in.
    for end in range(1, len(parts) + 1):
        try:
            spec = importlib.util.find_spec('.'.join(parts[:end]))
        except ValueError:
            # What was not imported, as the script itself, has none.
            return False
        if spec is None:
            return True
        # A package without a file of its own is where its parts are.
        places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
        if not places or not all(map(is_installed, places)):
            return False
    return True


def is_installed(place):
    """Whether of all places that modules come from, the nearest to this one is not the standard library's."""
    if not os.path.isabs(place):
        # built-in, frozen
        return False
    place = os.path.realpath(place)
    folders = [os.path.realpath(folder) for folder in sys.path if folder]
    around = [folder for folder in folders if place.startswith(folder.rstrip(os.sep) + os.sep)]
    nearest = max(around, key=len, default=None)
    return nearest is not None and not is_stdlib(nearest)


def is_stdlib(folder):
    return folder in STDLIB or os.path.basename(folder) == 'lib-dynload' or folder.endswith('.zip')


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
