"""Agents that take what they can. Not one of them ends by itself, except those that try to leave something behind."""

import ctypes
import mmap
import os
import signal
import subprocess
import threading
import time

MEBIBYTE = 1024 * 1024
PR_SET_DUMPABLE = 4
M_ARENA_MAX = -8


def fork_bomb(input):
    """Doubles its processes for ever. They ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield 'started '
    while True:
        try:
            os.fork()
        except OSError:
            pass


def forks(input):
    """Starts as many children as the prompt says."""
    yield 'started '
    for _ in range(int(input['prompt'])):
        if os.fork() == 0:
            time.sleep(1000)
    time.sleep(1000)


def strangers(input):
    """Starts processes, each in a session of its own, with no environment and no parent, and notes them: "50 /path/of/notes"."""
    count, path = input['prompt'].split()
    with open(path, 'a') as file:
        for _ in range(int(count)):
            file.write(f'{detach()} ')
            file.flush()
    yield 'started '
    time.sleep(1000)


def relay(input):
    """Replaces its process by another all the time, each in a session of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        while True:
            if os.fork():
                os._exit(0)
            os.setsid()
    return 'left'


def many_threads(input):
    """Threads that need so little that the address space of the process does not end before their number."""
    threading.stack_size(32 * 1024)
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    yield 'started '
    for _ in range(int(input['prompt'])):
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    time.sleep(1000)


def hogs(input):
    """Starts children in sessions of their own, each of which needs as many MiB: "12 200"."""
    yield from start_hogs(input, os.setsid)


def unreadable_hogs(input):
    """The same, by children that have made themselves unreadable."""
    yield from start_hogs(input, lambda: ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))


def headless_hogs(input):
    """The same, by children whose first thread has ended, so that the system says nothing of their memory where it is looked for first."""
    count, size = map(int, input['prompt'].split())
    yield 'started '
    for _ in range(count):
        if os.fork() == 0:
            ready = threading.Event()

            def hog():
                memory = occupy(size)
                ready.set()
                time.sleep(1000)
                del memory
            threading.Thread(target=hog).start()
            ready.wait()
            ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[os.uname().machine], 0)
    time.sleep(1000)


def twins(input):
    """Children that have written as much as their parent, at the same addresses, so that the system says the same of all."""
    count, size = map(int, input['prompt'].split())
    yield 'started '
    memory = bytearray(size * MEBIBYTE)
    for _ in range(count):
        if os.fork() == 0:
            break
    for place in range(0, len(memory), 4096):
        memory[place] = 1
    time.sleep(1000)


def grows(input):
    """Twelve children that take 5 MiB every 100 ms, 200 at most, and note each time by a byte in the file of the prompt."""
    yield 'started '
    file = os.open(input['prompt'], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for _ in range(12):
        if os.fork() == 0:
            memory = []
            for _ in range(40):
                memory.append(occupy(5))
                os.write(file, b'x')
                time.sleep(0.1)
            time.sleep(1000)
    time.sleep(1000)


def start_hogs(input, prepare):
    count, size = map(int, input['prompt'].split())
    yield 'started '
    for _ in range(count):
        if os.fork() == 0:
            prepare()
            memory = occupy(size)
            time.sleep(1000)
            del memory
    time.sleep(1000)


def occupy(mebibytes):
    """Memory that is written, for the kernel gives none to what is only reserved."""
    return bytearray(b'x') * (mebibytes * MEBIBYTE)


def shares(input):
    """Is honest: children that share memory with it and with each other, and processes that it starts one after the other."""
    memory = occupy(200)
    shared = mmap.mmap(-1, 50 * MEBIBYTE)
    shared.write(b'x' * len(shared))
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            sum(memory[::mmap.PAGESIZE])
            sum(shared[::mmap.PAGESIZE])
            time.sleep(1.5)
            os._exit(0)
        children.append(child)
    for _ in range(100):
        subprocess.run(['true'], check=True)
    for child in children:
        os.waitpid(child, 0)
    return 'shared'


def survives(input):
    """Leaves a process behind, as a daemon does, and says which."""
    return str(detach())


def detach():
    """Starts a process without parent, session, or environment. Returns its id."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        grandchild = os.fork()
        if grandchild:
            os.write(writer, str(grandchild).encode())
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.closerange(0, 100)
        os.execve('/bin/sh', ['sh', '-c', "trap '' TERM; while :; do sleep 1000; done"], {})
    os.waitpid(child, 0)
    pid = int(os.read(reader, 20))
    os.close(reader)
    os.close(writer)
    return pid


def burns(input):
    """Computes with as many processes as the prompt says for as long."""
    count, seconds = map(int, input['prompt'].split())
    yield 'started '
    until = time.monotonic() + seconds
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            while time.monotonic() < until:
                pass
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    yield 'burnt'


def niceness(input):
    with open('/proc/self/oom_score_adj') as file:
        return f'{os.nice(0)} {file.read().strip()}'
