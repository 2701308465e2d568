"""The main loop of a worker: executes the service's orders, one run at a time, and sends heartbeats."""

import asyncio
import json
import os
import queue
import sys
import threading

from . import Cancelled, group
from .channel import Channel
from .context import Context
from .entrypoint import EntrypointError
from .failure import describe, failure
from .interrupt import Interrupt
from .modules import Modules
from .run import Run
from .surroundings import Surroundings
from .values import ResultError

IN = 3
HEARTBEAT_SECONDS = 1.0
# The time that a cancelled agent has to end by itself before it is interrupted.
CANCEL_SECONDS = 1.0


def serve(memory_mb, reloads):
    interrupt = Interrupt()
    surroundings, modules = Surroundings(), Modules(reloads)
    channel = Channel(interrupt)
    runs = queue.SimpleQueue()
    worker = os.getpid()
    own = {threading.get_ident(), start(read_orders, runs, channel, interrupt), start(send_heartbeats, channel)}
    while True:
        run = runs.get()
        modules.refresh()
        outcome = perform(run, interrupt, memory_mb)
        modules.remember()
        if os.getpid() != worker:
            # A child that the agent forked has come to the end of the agent's code. It does not answer for the worker.
            os._exit(1)
        run.end()
        if not is_restored(surroundings) or has_leftovers(own):
            outcome['retire'] = True
        channel.send(id=run.number, **outcome)


def start(work, *args):
    """Starts a thread of the worker's own, without which it cannot go on: the process ends with it. Returns its id."""
    def perform_or_end():
        try:
            work(*args)
        finally:
            os._exit(1)
    thread = threading.Thread(target=perform_or_end, daemon=True)
    thread.start()
    return thread.ident


def read_orders(runs, channel, interrupt):
    latest = None
    with open(IN, 'rb') as lines:
        for line in lines:
            order = json.loads(line)
            if order['type'] == 'run':
                latest = Run(order, Context(order['id'], channel), channel)
                runs.put(latest)
            elif latest and order['id'] == latest.number:
                latest.cancel(CANCEL_SECONDS, interrupt)
    # The service has ended.
    os._exit(0)


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
            return {'type': 'error', 'message': 'The run was cancelled.'}
        return failure(error, type(error).__name__)
    except EntrypointError as error:
        # What was imported before, for other agents, may be why it fails: the next worker begins without it.
        return {**failure(error, str(error)), 'retire': isinstance(error.__cause__, Exception) and not isinstance(error.__cause__, (ModuleNotFoundError, SyntaxError))}
    except ResultError as error:
        return failure(error, str(error))
    except MemoryError as error:
        # The process may be in an inconsistent state.
        return {**failure(error, f'MemoryError: it needs more than PYTHON_MEMORY_MB ({memory_mb}) allows.'), 'retire': True}
    except BaseException as error:
        return failure(error, describe(error))


def is_restored(surroundings):
    """Gives the next run what this one found. A worker in which that fails is replaced."""
    try:
        surroundings.restore()
        return True
    except (OSError, RecursionError, MemoryError):
        return False


def has_leftovers(own):
    """Whether a run left threads or processes behind. They end with the worker, which the service then replaces."""
    return not own.issuperset(sys._current_frames()) or has_children() or has_orphans()


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
