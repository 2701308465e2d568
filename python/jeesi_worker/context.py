"""The context that an agent receives beside its input."""

import threading


class Flag(threading.Event):
    """An event that also works as a bool: `if context.cancelled`, `context.cancelled.wait(1)`."""

    def __bool__(self):
        return self.is_set()


class Context:
    def __init__(self, run, channel):
        #: Whether the run was cancelled. An agent that returns when it is set ends cleanly; others are interrupted.
        self.cancelled = Flag()
        self._run = run
        self._channel = channel

    def progress(self, fraction=None, message=None):
        """Reports progress to the run's readers: a fraction from 0 to 1, a message, or both."""
        self._channel.send(
            type='progress', id=self._run,
            fraction=None if fraction is None else min(1.0, max(0.0, float(fraction))),
            message=None if message is None else str(message)[:200])

    def log(self, text):
        """Writes a text to the service's log."""
        self._channel.send(type='log', id=self._run, text=str(text)[:4000])
