"""How a run in the main thread is broken off from another thread."""

import contextlib
import signal
import threading

from . import Cancelled


class Interrupt:
    """Raises Cancelled in the main thread, wherever it is: in a loop, in a sleep, in a read."""

    def __init__(self):
        self._armed = None
        self._victim = None
        self._shields = 0
        self._pending = False
        signal.signal(signal.SIGUSR1, self._on_signal)

    @contextlib.contextmanager
    def armed(self, run):
        """For the time that a run's code is on. Outside of it nothing is raised."""
        self._armed, self._pending = run, False
        try:
            yield
        finally:
            self._armed = None

    @contextlib.contextmanager
    def shielded(self):
        """For what must not be broken off in the middle; other threads than the main one are never."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._pending and self._shields == 0:
            self._on_signal()

    def fire(self, run):
        """Breaks a run off, if it is still on."""
        self._victim = run
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    def _on_signal(self, *_):
        if self._shields > 0:
            self._pending = True
        elif self._armed and self._armed is self._victim:
            self._armed, self._pending = None, False
            raise Cancelled
