"""Finds out which restrictions are in force on this machine, by trying them: the service starts it as it starts workers."""

import json
import os

from . import group, limits

MEMORY_MB = 512


def main():
    service = os.getppid()
    limits.apply(MEMORY_MB)
    print(json.dumps({
        'bounds': group.is_measurable(),
        'environment': not any(map(is_readable, ancestors(service))),
        'signals': not can_signal(service)
    }))


def ancestors(pid):
    """A process and all that it descends from: whatever started the service may have its variables too."""
    while pid:
        yield pid
        lines = [line for line in group.read(f'/proc/{pid}/status').splitlines() if line.startswith('PPid:')]
        pid = int(lines[0].split()[1]) if lines else 0


def is_readable(pid):
    """Whether agents can read the environment of a process. Systems without /proc have other ways, which nothing closes."""
    if not os.path.exists('/proc/self/environ'):
        return True
    try:
        with open(f'/proc/{pid}/environ', 'rb'):
            return True
    except OSError:
        return False


def can_signal(pid):
    try:
        os.kill(pid, 0)
        return True
    except OSError:
        return False


if __name__ == '__main__':
    main()
