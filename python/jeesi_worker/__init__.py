"""What runs agents that are written in Python. An agent needs nothing of it, but may catch `Cancelled`."""


class Cancelled(BaseException):
    """The run was cancelled. No Exception, so that `except Exception` does not keep an agent from ending."""
