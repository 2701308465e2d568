"""The main loop of a worker: executes the service's orders, one run at a time, and sends heartbeats."""

import asyncio
import json
import os
import queue
import threading
import traceback

from . import Cancelled, group
from .channel import Channel
from .context import Context
from .entrypoint import EntrypointError
from .interrupt import Interrupt
from .run import Run

IN = 3
HEARTBEAT_SECONDS = 1.0
# The time that a cancelled agent has to end by itself before it is interrupted.
CANCEL_SECONDS = 1.0
MAX_MESSAGE, MAX_TRACEBACK = 2000, 8000


def serve(memory_mb):
    interrupt = Interrupt()
    channel = Channel(interrupt)
    runs = queue.SimpleQueue()
    worker = os.getpid()
    threading.Thread(target=read_orders, args=(runs, channel, interrupt), daemon=True).start()
    threading.Thread(target=send_heartbeats, args=(channel,), daemon=True).start()
    while True:
        run = runs.get()
        outcome = perform(run, interrupt, memory_mb)
        if os.getpid() != worker:
            # A child that the agent forked has come to the end of the agent's code. It does not answer for the worker.
            os._exit(1)
        if has_leftovers():
            outcome['retire'] = True
        channel.send(id=run.number, **outcome)


def read_orders(runs, channel, interrupt):
    latest = None
    with open(IN, 'rb') as lines:
        for line in lines:
            order = json.loads(line)
            if order['type'] == 'run':
                latest = Run(order, Context(order['id'], channel), channel)
                runs.put(latest)
            elif latest and order['id'] == latest.number:
                cancel(latest, interrupt)
    # The service has ended.
    os._exit(0)


def cancel(run, interrupt):
    run.cancel()
    timer = threading.Timer(CANCEL_SECONDS, interrupt.fire, [run])
    timer.daemon = True
    timer.start()


def send_heartbeats(channel):
    while True:
        channel.send(type='alive')
        threading.Event().wait(HEARTBEAT_SECONDS)


def perform(run, interrupt, memory_mb):
    """Executes a run. Returns its final message."""
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
        # The process may be in an inconsistent state.
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


def has_leftovers():
    """Whether a run left threads or processes behind. They end with the worker, which the service then replaces."""
    threads = [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]
    return bool(threads) or has_children() or has_orphans()


def has_children():
    if not hasattr(os, 'waitid'):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    except ChildProcessError:
        return False


def has_orphans():
    """Whether the guard has adopted processes of the run: those whose parent has ended."""
    return any(pid != os.getpid() for pid in group.children(os.getppid()))
