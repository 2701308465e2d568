"""The guard: the first process of a worker's group. It runs no code of agents, and ends the whole group."""

import ctypes
import os
import select
import shutil
import signal
import tempfile
import time

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


def watch(worker):
    """Waits until the worker or the service ends, or for SIGTERM. Then ends all remaining processes, and exits."""
    os.close(3)
    os.close(4)
    adopt_orphans()
    wakeup, wakeup_writer = os.pipe()
    os.set_blocking(wakeup_writer, False)
    signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
    stop_requests = []
    signal.signal(signal.SIGTERM, lambda *_: stop_requests.append(True))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    status = None
    while status is None and not stop_requests:
        ready, _, _ = select.select([wakeup, LIFELINE], [], [])
        if LIFELINE in ready:
            break
        os.read(wakeup, 4096)
        status = reap(worker)
    terminate_all()
    shutil.rmtree(os.environ['HOME'], ignore_errors=True)
    os._exit(128 + signal.SIGTERM if status is None else exit_code(status))


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


def terminate_all():
    """Sends SIGTERM, then SIGKILL until no process is left: the children of a killed process become the guard's."""
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    force = False
    while reap_all():
        force = force or time.monotonic() >= deadline
        if force:
            for pid in children():
                os.kill(pid, signal.SIGKILL)
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


def children():
    """The ids of the guard's children."""
    try:
        with open(f'/proc/self/task/{os.getpid()}/children') as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        # Without /proc, the whole group is killed at once, including the guard.
        os.killpg(0, signal.SIGKILL)
        return []


def exit_code(status):
    """The exit code of a status; as in shells, 128 plus the number of the signal that ended the process."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
