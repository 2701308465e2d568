"""Loads and calls entrypoints: `package.module:function`."""

import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
import sysconfig

PATTERN = re.compile(r'[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*', re.ASCII)

# The worker's own modules contain no agents.
WORKER_MODULES = ('jeesi_worker', 'worker')
STDLIB = {os.path.realpath(path) for path in (
    sysconfig.get_paths()['stdlib'], sysconfig.get_paths()['platstdlib'], os.path.dirname(os.__file__))}


class EntrypointError(Exception):
    """The entrypoint cannot be loaded. The message is for the caller."""


def load(entrypoint):
    """Imports the module and returns the function. Raises EntrypointError."""
    if not isinstance(entrypoint, str) or not PATTERN.fullmatch(entrypoint):
        raise EntrypointError(f'The entrypoint must be package.module:function; {str(entrypoint)[:200]!r} is not.')
    module_name, name = entrypoint.split(':')
    try:
        # Checked before the import, which runs the module's code.
        if not is_permitted(module_name):
            raise not_permitted(entrypoint)
        module = importlib.import_module(module_name)
    except EntrypointError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f'{error.name}.')):
            raise EntrypointError(f'There is no Python module {module_name}.') from error
        raise EntrypointError(f'The Python module {module_name} needs {error.name}, which is not installed.') from error
    except MemoryError:
        raise
    except Exception as error:
        raise EntrypointError(f'The Python module {module_name} cannot be imported: {type(error).__name__}: {error}') from error
    if not hasattr(module, name):
        raise EntrypointError(f'The Python module {module_name} has no function {name}.')
    function = getattr(module, name)
    if not callable(function):
        raise EntrypointError(f'{entrypoint} is not a function.')
    # The function may be imported from a module that is not permitted.
    module_name = module_of(function)
    if module_name not in sys.modules or not is_permitted(module_name):
        raise not_permitted(entrypoint)
    return function


def not_permitted(entrypoint):
    return EntrypointError(f"{entrypoint} is not one of this service's modules.")


def module_of(function):
    """The name of the module that defines a function; '' if it has none."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, '__module__', None)
    return name if isinstance(name, str) else ''


def is_permitted(module_name):
    """Whether a module belongs to the service or was installed for it. A module that does not exist counts as permitted."""
    parts = module_name.split('.')
    if parts[0] in WORKER_MODULES or not parts[0]:
        return False
    # From the outermost package inwards, because finding a module imports its packages.
    for end in range(1, len(parts) + 1):
        try:
            spec = importlib.util.find_spec('.'.join(parts[:end]))
        except ValueError:
            # A module that was not imported, such as the script itself, has no spec.
            return False
        if spec is None:
            return True
        # A namespace package has no file, but the folders of its parts.
        paths = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
        if not paths or not all(map(is_installed, paths)):
            return False
    return True


def is_installed(path):
    """Whether the innermost folder of `sys.path` that contains the path is not of the standard library."""
    if not os.path.isabs(path):
        # A built-in or frozen module.
        return False
    path = os.path.realpath(path)
    folders = [os.path.realpath(folder) for folder in sys.path if folder]
    containing = [folder for folder in folders if path.startswith(folder.rstrip(os.sep) + os.sep)]
    innermost = max(containing, key=len, default=None)
    return innermost is not None and not is_stdlib(innermost)


def is_stdlib(folder):
    return folder in STDLIB or os.path.basename(folder) == 'lib-dynload' or folder.endswith('.zip')


def call(function, value, context):
    """Calls a function with a value, and with the context if it has a parameter for it."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return function(value)
    if any(p.name == 'context' and p.kind is p.KEYWORD_ONLY for p in parameters):
        return function(value, context=context)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    takes_context = len(positional) > 1 or any(p.kind is p.VAR_POSITIONAL for p in positional)
    return function(value, context) if takes_context else function(value)
