"""A worker process. The service starts it, and it runs entrypoints one after the other until it is terminated.

The protocol is lines of JSON: orders on descriptor 3, messages on descriptor 4. Descriptor 5 is a pipe that closes when the
service ends, which ends the worker. Agents print to stdout and stderr as usual; that is not part of the protocol.
"""

import os
import sys

from jeesi_worker import guard, group


def main():
    memory_mb, max_processes, reloads = map(int, sys.argv[1:])
    guard.prepare()
    worker = os.fork()
    if worker:
        guard.watch(worker, group.Group(memory_mb, max_processes))
    os.close(guard.LIFELINE)
    # Imported after the fork, so that the guard stays small.
    from jeesi_worker import limits, serve
    limits.apply(memory_mb)
    serve.serve(memory_mb, bool(reloads))


if __name__ == '__main__':
    main()
