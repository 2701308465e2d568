"""The agents of the tests, well-behaved and not."""

import asyncio
import ctypes
import functools
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

from jeesi_worker import Cancelled


def plain(input):
    return f'Hello {input["prompt"]}'


def traced(input):
    return f'{input.get("traceparent")} {input.get("tracestate")}'


def structured(input, context):
    return {'prompt': input['prompt'], 'agent': input['agent']['name'], 'é': [1, None]}


def nothing(input):
    return None


def generator(input):
    for n in range(5):
        yield f'{n} '
    return 'end'


async def asynchronous(input, *, context):
    await asyncio.sleep(0)
    return f'Hello {input["prompt"]}'


async def async_generator(input, context):
    for n in range(5):
        await asyncio.sleep(0)
        yield f'{n} '


class Callable:
    def __call__(self, input, context):
        return 'called'


instance = Callable()
not_callable = 42
borrowed = subprocess.getoutput
borrowed_in_part = functools.partial(subprocess.getoutput)
borrowed_from_a_value = 'true'.join
own_in_part = functools.partial(plain)


def steps(input, context):
    """Yields a word for each file that the test creates."""
    for n in range(3):
        yield f'word {n}. '
        context.progress((n + 1) / 3, f'step {n}')
        while not os.path.exists(f'{input["prompt"]}/{n}'):
            time.sleep(0.005)


def odd_progress(input, context):
    context.progress(7)
    context.progress(message='m' * 5000)
    for _ in range(10_000):
        context.progress(0.5)
    context.progress(1.0, 'last')
    return 'x'


def unicode(input):
    yield '😀' * 100_000
    yield 'a\ud83d'
    yield 'b\0'


def many_small(input):
    for n in range(200_000):
        yield 'x'


def raises(input):
    yield 'before '
    raise ValueError('no such thing: \ud83d')


def exits(input):
    sys.exit(3)


def raises_unprintable(input):
    class Bad(Exception):
        def __str__(self):
            raise RuntimeError
    raise Bad


def not_json(input):
    return object()


def quotes(input):
    return look_up(input['prompt'])


def look_up(word):
    return {}[word]


def prints(input, context):
    print('printed text')
    print('{"type": "done", "id": 1}', flush=True)
    os.write(2, b'\xff' * 1_000_000)
    context.log('logged text')
    return 'fine'


def garbage(input):
    yield 'before '
    os.write(4, b'garbage\n')
    time.sleep(1000)


def half_line(input):
    os.write(4, b'{"type": "te')
    yield 'x'
    time.sleep(1000)


def endless_line(input):
    while True:
        os.write(4, b'x' * 65536)


def hundred_megabytes(input):
    return 'x' * 100_000_000


def endless(input):
    while True:
        yield 'x' * 10_000


def memory(input):
    return len(bytearray(int(input['prompt']) * 1024 * 1024))


def memory_in_pieces(input):
    pieces = []
    while True:
        pieces.append('x' * 1_000_000 + str(len(pieces)))


def hangs(input):
    """Holds the interpreter's lock, so that not even the heartbeat is sent."""
    yield 'before '
    ctypes.PyDLL(None).sleep(1000)


def dies(input):
    yield 'before '
    time.sleep(0.1)
    os._exit(3)


def killed(input):
    os.kill(os.getpid(), signal.SIGKILL)


def kills_its_guard(input):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1000)


def dies_once(input):
    """Dies at its first call, and marks that in the folder of the prompt."""
    mark = pathlib.Path(input['prompt'], 'died')
    yield 'half an '
    time.sleep(0.1)
    if not mark.exists():
        mark.touch()
        os._exit(1)
    yield 'answer'


def pid(input):
    return str(os.getpid())


def environment(input):
    return dict(os.environ)


def other_environment(input):
    """Returns the environment of another process, or the error of reading it."""
    try:
        return pathlib.Path(f'/proc/{input["prompt"]}/environ').read_bytes().decode()
    except OSError as error:
        return type(error).__name__


def moves_files(input):
    os.mkdir('a')
    os.mkdir('b')
    pathlib.Path('a/file').write_text('moved')
    os.rename('a/file', 'b/file')
    return pathlib.Path('b/file').read_text()


def leaves_a_thread(input):
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return str(os.getpid())


def leaves_a_daemon(input):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    return str(os.getpid())


def leaves_an_alarm(input):
    def ring(*_):
        raise TimeoutError('of another run')
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    return str(os.getpid())


def naps(input):
    time.sleep(0.6)
    return f'{os.getpid()} {signal.getsignal(signal.SIGALRM) == signal.SIG_DFL}'


def leaves_files(input):
    os.makedirs('folder/below')
    os.symlink('/etc', 'link')
    pathlib.Path('note.txt').write_text('of another user')
    return str(os.getpid())


def finds_files(input):
    return f'{os.getpid()} {os.listdir(".")} {os.listdir(os.environ["HOME"])}'


def leaves_a_process(input):
    child = subprocess.Popen(['sleep', '1000'])
    return str(child.pid)


def talks_on(input, context):
    """Leaves a thread that sends progress after the job has ended."""
    def talk():
        while True:
            context.progress(0.5, 'from the past')
            time.sleep(0.001)
    threading.Thread(target=talk, daemon=True).start()
    return 'over'


def listens(input):
    """Sends nothing for long enough to receive messages of others."""
    time.sleep(0.2)
    return 'heard'


def tidy(input, context):
    yield 'started '
    context.progress(message='inside')
    context.cancelled.wait(1000)
    pathlib.Path(input['prompt'], 'tidied').touch()


def catches(input, context):
    yield 'started '
    try:
        context.progress(message='inside')
        time.sleep(1000)
    except Cancelled:
        pathlib.Path(input['prompt'], 'caught').touch()
        raise


async def awaits(input, context):
    yield 'started '
    try:
        context.progress(message='inside')
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        pathlib.Path(input['prompt'], 'caught').touch()
        raise


def endless_generator(input):
    while True:
        yield '.'
        time.sleep(0.01)


def loops(input):
    yield 'started '
    while True:
        pass


def sleeps(input):
    yield 'started '
    time.sleep(1000)


def stubborn(input):
    """Catches every exception, and has two children that ignore SIGTERM, one of them in its own session."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ignoring = ['sh', '-c', "trap '' TERM; while :; do sleep 1000; done"]
    children = [subprocess.Popen(ignoring), subprocess.Popen(ignoring, start_new_session=True)]
    yield ' '.join(str(pid) for pid in [os.getpid(), *[child.pid for child in children]]) + '\n'
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            pass


def slow_tool(args):
    time.sleep(1000)


def add(args, context):
    return {'sum': args['a'] + args['b']}
