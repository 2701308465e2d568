"""Runs agents that are written in Python. An agent need not import it, but may do so to catch `Cancelled`."""


class Cancelled(BaseException):
    """The run was cancelled. Not an Exception, so that `except Exception` does not catch it."""
