"""The guard: the first process of a worker's group. It runs no code of agents, and ends the whole group."""

import ctypes
import os
import select
import shutil
import signal
import tempfile
import time

from . import group

LIFELINE = 5
PROTOCOL = (3, 4, LIFELINE)
# The time between SIGTERM and SIGKILL.
GRACE_SECONDS = 1.0
PR_SET_CHILD_SUBREAPER = 36


def prepare():
    """Prepares both processes, before the fork: the descriptors and a temporary home."""
    for descriptor in PROTOCOL:
        os.set_inheritable(descriptor, False)
    home = tempfile.mkdtemp(prefix='jeesi-python-')
    os.environ['HOME'] = home
    os.chdir(home)


def watch(worker, bounded):
    """Waits until the worker or the service ends, for SIGTERM, or until the group exceeds a bound. Then ends all of it, and exits."""
    os.close(3)
    os.close(4)
    adopt_orphans()
    wakeup, wakeup_writer = os.pipe()
    os.set_blocking(wakeup_writer, False)
    signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
    stop_requests = []
    signal.signal(signal.SIGTERM, lambda *_: stop_requests.append(True))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    status = exceeded = None
    while status is None and exceeded is None and not stop_requests:
        ready, _, _ = select.select([wakeup, LIFELINE], [], [], group.INTERVAL_SECONDS)
        if LIFELINE in ready:
            break
        if wakeup in ready:
            os.read(wakeup, 4096)
            status = reap(worker)
        exceeded = bounded.exceeded()
    terminate_all(bounded, force=exceeded is not None)
    remove_home()
    if exceeded is not None:
        os._exit(exceeded)
    os._exit(128 + signal.SIGTERM if status is None else exit_code(status))


def remove_home():
    """Whatever is in it keeps the guard from nothing: folders may be nested deeper than Python's stack."""
    try:
        shutil.rmtree(os.environ['HOME'], ignore_errors=True)
    except (RecursionError, MemoryError):
        pass


def adopt_orphans():
    """On Linux, makes the guard the parent of orphaned descendants, even of other sessions. Other systems have only the group."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (AttributeError, OSError):
        pass


def reap(worker):
    """Reaps all children that have ended. Returns the status of the worker, if it is one of them."""
    status = None
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == worker:
            status = ended


def terminate_all(bounded, force):
    """Sends SIGTERM, then SIGKILL until no process is left: the children of a killed process become the guard's."""
    if not group.is_measurable():
        terminate_group()
    if not force:
        os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while reap_all():
        force = force or time.monotonic() >= deadline or bounded.exceeded() is not None
        if force:
            bounded.kill()
        # Not longer: processes that replace themselves by others all the time must be met in one of their lives.
        time.sleep(0.001 if force else 0.01)


def terminate_group():
    """Where children cannot be listed, ends the process group, the guard with it."""
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while reap_all():
        if time.monotonic() >= deadline:
            remove_home()
            os.killpg(0, signal.SIGKILL)
        time.sleep(0.01)


def reap_all():
    """Reaps all children that have ended. Returns whether any are left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def exit_code(status):
    """The exit code of a status; as in shells, 128 plus the number of the signal that ended the process."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
