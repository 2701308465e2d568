"""What a run finds, whatever the runs before it have done: an empty working folder, variables, standard streams, no timers of others."""

import os
import shutil
import signal
import sys

STREAMS = {'stdin': 0, 'stdout': 1, 'stderr': 2}


class Surroundings:
    """Remembers them as they are when the worker starts."""

    def __init__(self):
        self._folder = os.getcwd()
        self._variables = dict(os.environ)
        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._streams = {name: getattr(sys, name) for name in STREAMS}
        # Copies that are not known to agents, who may close their own.
        self._copies = {name: os.dup(number) for name, number in STREAMS.items()}

    def restore(self):
        """Makes all as it was. Raises OSError if that cannot be done."""
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        for number, handler in self._handlers.items():
            if handler is not None and signal.getsignal(number) != handler:
                signal.signal(number, handler)
        os.chdir(self._folder)
        self._empty()
        if dict(os.environ) != self._variables:
            os.environ.clear()
            os.environ.update(self._variables)
        for name, number in STREAMS.items():
            self._flush(name)
            os.dup2(self._copies[name], number)
            if self._streams[name] is None or self._streams[name].closed:
                mode = 'r' if name == 'stdin' else 'w'
                self._streams[name] = open(number, mode, encoding='utf-8', errors='backslashreplace', closefd=False)
            setattr(sys, name, self._streams[name])
            setattr(sys, f'__{name}__', self._streams[name])

    def _empty(self):
        """Removes what the run has left in its folder."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)

    def _flush(self, name):
        """Lets nothing of a run wait for the next one to be printed."""
        for stream in (getattr(sys, name, None), self._streams[name]):
            try:
                stream.flush()
            except Exception:
                # It was closed, or is of the agent's making.
                pass
