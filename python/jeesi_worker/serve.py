"""A worker's life: reads what the service wants, one run at a time, and says that it is alive."""

import asyncio
import json
import os
import queue
import threading
import traceback

from . import Cancelled
from .channel import Channel
from .context import Context
from .entrypoint import EntrypointError
from .interrupt import Interrupt
from .run import Run

IN = 3
BEAT_SECONDS = 1.0
# An agent that was cancelled has so long to end tidily before it is broken off.
TIDY_SECONDS = 1.0
MAX_MESSAGE, MAX_TRACEBACK = 2000, 8000


def serve(memory_mb):
    interrupt = Interrupt()
    channel = Channel(interrupt)
    runs = queue.SimpleQueue()
    threading.Thread(target=read, args=(runs, channel, interrupt), daemon=True).start()
    threading.Thread(target=beat, args=(channel,), daemon=True).start()
    while True:
        run = runs.get()
        outcome = perform(run, interrupt, memory_mb)
        if leaves_something():
            outcome['retire'] = True
        channel.send(id=run.number, **outcome)


def read(runs, channel, interrupt):
    latest = None
    with open(IN, 'rb') as lines:
        for line in lines:
            order = json.loads(line)
            if order['type'] == 'run':
                latest = Run(order, Context(order['id'], channel), channel)
                runs.put(latest)
            elif latest and order['id'] == latest.number:
                cancel(latest, interrupt)
    # The service is gone.
    os._exit(0)


def cancel(run, interrupt):
    run.cancel()
    timer = threading.Timer(TIDY_SECONDS, interrupt.fire, [run])
    timer.daemon = True
    timer.start()


def beat(channel):
    while True:
        channel.send(type='alive')
        threading.Event().wait(BEAT_SECONDS)


def perform(run, interrupt, memory_mb):
    """The run's last message."""
    try:
        with interrupt.armed(run):
            run.perform()
        return {'type': 'done'}
    except (Cancelled, asyncio.CancelledError) as error:
        if run.context.cancelled:
            return {'type': 'error', 'kind': 'cancelled', 'message': 'The run was cancelled.'}
        return failure(error, type(error).__name__)
    except EntrypointError as error:
        return failure(error, str(error), kind='entrypoint')
    except MemoryError as error:
        # What is left of it may be in pieces.
        return {**failure(error, f'MemoryError: it needs more than PYTHON_MEMORY_MB ({memory_mb}) allows.'), 'retire': True}
    except BaseException as error:
        return failure(error, describe(error))


def describe(error):
    try:
        text = str(error)
    except Exception:
        text = ''
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


def failure(error, message, kind='exception'):
    return {
        'type': 'error', 'kind': kind, 'message': message[:MAX_MESSAGE],
        'traceback': ''.join(traceback.format_exception(type(error), error, error.__traceback__))[-MAX_TRACEBACK:]
    }


def leaves_something():
    """Whether a run has left threads or processes behind: they end with the worker, which is replaced."""
    threads = [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]
    if not hasattr(os, 'waitid'):
        return bool(threads)
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    except ChildProcessError:
        return bool(threads)
