"""Describes why a run failed: for its caller, and for the log."""

import os
import sys
import traceback

from .entrypoint import WORKER_MODULES, EntrypointError, is_installed
from .modules import is_own

MAX_MESSAGE, MAX_TRACEBACK, MAX_NAME = 2000, 8000, 200


def failure(error, message):
    """The message that ends a run. `exception` and `place` contain nothing that a prompt may have brought into the message."""
    cause = error.__cause__ if isinstance(error, EntrypointError) and error.__cause__ else error
    return {
        'type': 'error', 'message': message[:MAX_MESSAGE],
        'exception': type(cause).__name__[:MAX_NAME],
        'place': place_of(cause),
        'traceback': ''.join(traceback.format_exception(type(error), error, error.__traceback__))[-MAX_TRACEBACK:]
    }


def describe(error):
    """One line for the caller: the first of the exception's message. The traceback has all of it."""
    try:
        text = str(error).strip().partition('\n')[0]
    except Exception:
        text = ''
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


def place_of(error):
    """File, line and function of the innermost code that is neither the worker's nor the library's; None if there is none."""
    frames = [(frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno or 0, '<module>'))
    of_agents = [frame for frame in frames if is_of_agents(frame[0])]
    # What an agent has called from an installed package says less than where the agent has called it.
    own = [frame for frame in of_agents if is_own(frame[0])] or of_agents
    if not own:
        return None
    file, line, function = own[-1]
    return {'file': short(file)[-MAX_NAME:], 'line': line, 'function': function[:MAX_NAME]}


def is_of_agents(file):
    return is_installed(file) and short(file).replace('.py', '').split(os.sep)[0] not in WORKER_MODULES


def short(file):
    """The path below the folder that it was imported from."""
    containing = [folder for folder in sys.path if folder and file.startswith(folder.rstrip(os.sep) + os.sep)]
    return os.path.relpath(file, max(containing, key=len)) if containing else file
