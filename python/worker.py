"""A worker: started by the service, runs entrypoints one after the other until it is ended.

The service speaks to it by lines of JSON on descriptor 3, it answers on 4, and 5 is its lifeline: it ends when the
service does. What agents print goes to stdout and stderr, as always, and is no part of the protocol.
"""

import os
import sys

from jeesi_worker import guard


def main():
    memory_mb = int(sys.argv[1])
    guard.prepare()
    worker = os.fork()
    if worker:
        guard.keep(worker)
    # Only now, so that the guard stays small.
    from jeesi_worker import limits, serve
    limits.apply(memory_mb)
    serve.serve(memory_mb)


if __name__ == '__main__':
    main()
