"""The modules of agents, which are loaded anew when one of their files has changed. Not where NODE_ENV is production."""

import importlib
import linecache
import os
import sys
import time

from .entrypoint import WORKER_MODULES, is_installed

SITE_FOLDERS = ('site-packages', 'dist-packages')


class Modules:
    def __init__(self, reloads):
        self._reloads = reloads
        self._states = {}
        self._started = 0
        if reloads:
            # The cache of compiled modules does not notice a change within a second that leaves the size as it was.
            sys.dont_write_bytecode = True

    def refresh(self):
        """Before a run: forgets all modules of agents if one of them has changed, so that they fit together."""
        if not self._reloads:
            return
        self._started = time.time_ns()
        if any(state_of(file) != state for file, state in self._states.items()):
            for name in own_modules():
                del sys.modules[name]
            self._states.clear()
            linecache.checkcache()
        importlib.invalidate_caches()

    def remember(self):
        """After a run: notes the files of what it has loaded. One that was changed meanwhile counts as changed."""
        if not self._reloads:
            return
        for file in own_modules().values():
            state = state_of(file)
            if file not in self._states:
                self._states[file] = None if state and state[0] >= self._started else state


def own_modules():
    """The files of the modules that are written for this service, by name: not of the library, and not installed packages."""
    return {
        name: module.__file__ for name, module in list(sys.modules.items())
        if name != '__main__' and name.split('.')[0] not in WORKER_MODULES
        and isinstance(getattr(module, '__file__', None), str) and is_own(module.__file__)
    }


def is_own(file):
    return file.endswith('.py') and not any(folder in file.split(os.sep) for folder in SITE_FOLDERS) and is_installed(file)


def state_of(file):
    try:
        status = os.stat(file)
        return (status.st_mtime_ns, status.st_size)
    except OSError:
        return None
