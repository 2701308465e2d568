"""Agents that leave the worker otherwise than they have found it."""

import io
import os
import sys


def tidy(input, context):
    """What a run finds."""
    print('printed')
    print('to stderr', file=sys.stderr)
    return {'folder': os.getcwd() == os.environ.get('HOME'), 'variables': sorted(os.environ), 'stdout': type(sys.stdout).__name__, 'stdin': sys.stdin.read()}


def moves(input, context):
    os.chdir('/')
    os.environ['OPENAI_API_KEY'] = 'of the run before'
    os.environ.pop('PATH')
    sys.stdout = io.StringIO()


def closes(input, context):
    sys.stdout.close()
    sys.stderr.close()
    sys.stdin.close()


def redirects(input, context):
    file = os.open(os.devnull, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def removes(input, context):
    os.rmdir(os.getcwd())
