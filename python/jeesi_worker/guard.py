"""The first process of a worker's group. It runs no code of agents, and sees to it that the whole group ends."""

import ctypes
import os
import select
import shutil
import signal
import tempfile
import time

LIFELINE = 5
PROTOCOL = (3, 4, LIFELINE)
# How long processes have to end by themselves before they are killed.
GRACE_SECONDS = 1.0
PR_SET_CHILD_SUBREAPER = 36


def prepare():
    """Before the fork: what both processes need."""
    for descriptor in PROTOCOL:
        os.set_inheritable(descriptor, False)
    home = tempfile.mkdtemp(prefix='jeesi-python-')
    os.environ['HOME'] = home
    os.chdir(home)


def keep(worker):
    """Waits for the worker's end, or the service's, or for being told to end; then ends all that is left, and itself."""
    os.close(3)
    os.close(4)
    adopt_orphans()
    alarm, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    status = None
    while status is None and not stop:
        ready, _, _ = select.select([alarm, LIFELINE], [], [])
        if LIFELINE in ready:
            break
        os.read(alarm, 4096)
        status = reap(worker)
    end_all()
    shutil.rmtree(os.environ['HOME'], ignore_errors=True)
    os._exit(128 + signal.SIGTERM if status is None else code_of(status))


def adopt_orphans():
    """On Linux what loses its parent becomes the guard's, even from a session of its own. Elsewhere there is the group."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (AttributeError, OSError):
        pass


def reap(worker):
    """Takes the status of whoever has ended; returns the worker's, if it was among them."""
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


def end_all():
    """First a request, then force, again and again until nobody is left: who is killed leaves children behind."""
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
    """Whether there are children still."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def children():
    try:
        with open(f'/proc/self/task/{os.getpid()}/children') as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        # Without /proc the group goes at once, and the guard with it.
        os.killpg(0, signal.SIGKILL)
        return []


def code_of(status):
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
