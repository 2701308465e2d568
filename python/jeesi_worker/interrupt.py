"""Interrupts a run in the main thread from another thread."""

import contextlib
import signal
import threading

from . import Cancelled


class Interrupt:
    """Raises Cancelled in the main thread, whether it computes, sleeps or reads."""

    def __init__(self):
        self._armed = None
        self._target = None
        self._shields = 0
        self._pending = False
        signal.signal(signal.SIGUSR1, self._on_signal)

    @contextlib.contextmanager
    def armed(self, run):
        """Allows the run to be interrupted within the block. Outside of it nothing is raised."""
        self._armed, self._pending = run, False
        try:
            yield
        finally:
            self._armed = None

    @contextlib.contextmanager
    def shielded(self):
        """Defers an interruption to the end of the block. Only the main thread is ever interrupted."""
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
        """Interrupts a run, if it is still running."""
        self._target = run
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    def _on_signal(self, *_):
        if self._shields > 0:
            self._pending = True
        elif self._armed and self._armed is self._target:
            self._armed, self._pending = None, False
            raise Cancelled
