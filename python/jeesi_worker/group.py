"""The processes of a worker, measured against its bounds. They are found below the guard, whatever session they are in."""

import os
import signal
import time

# Exit codes of the guard, which tell the service the bound that the group exceeded.
TOO_MUCH_MEMORY, TOO_MANY_PROCESSES, TOO_MANY_THREADS = 254, 253, 252
THREADS_PER_PROCESS = 16
INTERVAL_SECONDS = 0.1
# The part of a CPU that measuring may take.
MAX_SHARE = 0.1
# A process that starts another shares its whole memory with it for about a millisecond.
CONFIRM_SECONDS = 0.02
STARTING_SECONDS = 1.0
PAGE_BYTES = os.sysconf('SC_PAGE_SIZE')
TICKS = os.sysconf('SC_CLK_TCK')


def is_measurable():
    """Whether the system lists the children of a process. Linux does; without it nothing is bounded."""
    return os.path.exists(f'/proc/self/task/{os.getpid()}/children')


class Group:
    """All processes below this one, which is the guard."""

    def __init__(self, memory_mb, max_processes):
        self._memory = memory_mb * 1024 * 1024
        self._max_processes = max_processes
        self._next = 0.0

    def exceeded(self):
        """The exit code of the bound that is exceeded, or None. Measures at most once in an interval."""
        if time.monotonic() < self._next:
            return None
        started = time.process_time()
        exceeded = self._measure()
        rest = (time.process_time() - started) / MAX_SHARE
        self._next = time.monotonic() + max(INTERVAL_SECONDS, rest)
        return exceeded

    def kill(self):
        """Kills the processes that are there now. They may start others meanwhile, so this is repeated until none is left."""
        for pid in self._processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def _measure(self):
        processes = self._processes(self._max_processes + 1)
        if len(processes) > self._max_processes:
            return TOO_MANY_PROCESSES
        if sum(len(threads(pid)) for pid in processes) > self._max_processes * THREADS_PER_PROCESS:
            return TOO_MANY_THREADS
        if self._needs_too_much(processes):
            time.sleep(CONFIRM_SECONDS)
            if self._needs_too_much(self._processes()):
                return TOO_MUCH_MEMORY
        return None

    def _needs_too_much(self, processes):
        # What processes share counts once. That is dearer to measure, so what they occupy each is measured first.
        return sum(map(resident, processes)) > self._memory and sum(proportions(processes)) > self._memory

    def _processes(self, limit=None):
        """The parent of each process below the guard, by id. What starts or ends meanwhile may be missing."""
        parents = {}
        waiting = [os.getpid()]
        for parent in waiting:
            for pid in children(parent):
                if pid not in parents:
                    parents[pid] = parent
                    waiting.append(pid)
            if limit and len(parents) >= limit:
                break
        return parents


def threads(pid):
    try:
        return os.listdir(f'/proc/{pid}/task')
    except OSError:
        return []


def children(pid):
    """The ids of a process's children, those that have ended and were not waited for among them."""
    return [int(child) for thread in threads(pid) for child in read(f'/proc/{pid}/task/{thread}/children').split()]


def places(pid):
    """Where the system tells of a process's memory: where its first thread has ended, only at one of its others."""
    yield f'/proc/{pid}'
    for thread in threads(pid):
        yield f'/proc/{pid}/task/{thread}'


def resident(pid):
    """Bytes of memory that a process occupies, counting in full what it shares."""
    for place in places(pid):
        pages = int((read(f'{place}/statm').split() or [0, 0])[1])
        if pages:
            return pages * PAGE_BYTES
    return 0


def proportions(parents):
    """For each process, the bytes that it occupies, and its part of those that it shares."""
    rollups = {pid: rollup_of(pid) for pid in parents}
    for pid, rollup in rollups.items():
        lines = [line for line in rollup.splitlines() if line.startswith('Pss:')]
        if not lines:
            # The process has made itself unreadable, or has ended.
            yield resident(pid)
        elif rollup != rollups.get(parents[pid]) or age(pid) > STARTING_SECONDS:
            # Otherwise it is still its parent's memory: it was just started.
            yield int(lines[0].split()[1]) * 1024


def rollup_of(pid):
    return next(filter(None, (read(f'{place}/smaps_rollup') for place in places(pid))), '')


def age(pid):
    """For how many seconds a process has been there."""
    # Its name, which may have any characters, is between parentheses.
    fields = read(f'/proc/{pid}/stat').rpartition(')')[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / TICKS if fields else 0.0


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ''
