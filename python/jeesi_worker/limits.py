"""Restricts the code of agents. Applied once, before any of it is loaded; its child processes inherit the restrictions."""

import ctypes
import os
import resource
import struct

PR_SET_NO_NEW_PRIVS = 38
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
MAKE_BLOCK, REFER = 1 << 11, 1 << 13
SCOPE_SIGNAL = 1 << 1
# With SYS_PTRACE, SYS_ADMIN or PERFMON a process can inspect any other, even from within Landlock, and with SYS_RAWIO all memory.
# SETPCAP, SETFCAP and MKNOD are dropped because root in a container has them: a process with fewer capabilities than another
# cannot inspect it, with Landlock or without. No agent needs them.
DROPPED_CAPABILITIES = (8, 17, 19, 21, 27, 31, 38)
PR_CAPBSET_DROP = 24
CAPABILITY_VERSION = 0x20080522
# The first version that can permit moving files between folders, and the first that can forbid signals.
MIN_LANDLOCK, MIN_LANDLOCK_SCOPE = 2, 6
# Agents yield the CPU to the service, whose other runs would feel it.
NICENESS = 10


def apply(memory_mb):
    memory = memory_mb * 1024 * 1024
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except (ValueError, OSError):
        # A stricter limit is already set, or the system has no such limit, like macOS.
        pass
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICENESS)
    prefer_for_oom()
    hide_other_processes()


def prefer_for_oom():
    """Where a container's memory ends nevertheless, the kernel kills a process of agents and not the service."""
    try:
        with open('/proc/self/oom_score_adj', 'w') as file:
            file.write('1000')
    except OSError:
        pass


def hide_other_processes():
    """
    Hides the environment and memory of the service (/proc/<pid>/environ, ptrace). Root cannot inspect what has more capabilities;
    within a Landlock domain no process can inspect, or from Linux 6.12 signal, others outside of it. The domain forbids nothing else.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        drop_capabilities(libc)
        enter_landlock(libc)
    except (AttributeError, OSError):
        # Not Linux.
        pass


def enter_landlock(libc):
    version = libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    if version < MIN_LANDLOCK:
        return
    handled = struct.pack('=Q', MAKE_BLOCK | REFER)
    if version >= MIN_LANDLOCK_SCOPE:
        handled += struct.pack('=QQ', 0, SCOPE_SIGNAL)
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, handled, len(handled), 0)
    root = os.open('/', os.O_PATH)
    allowed = struct.pack('=Qi', MAKE_BLOCK | REFER, root)
    libc.syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, allowed, 0)
    libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(root)
    os.close(ruleset)


def drop_capabilities(libc):
    """Drops capabilities that let a process inspect others. Only root has them."""
    header = struct.pack('=Ii', CAPABILITY_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    libc.capget(header, data)
    words = list(struct.unpack('=6I', data.raw))
    for capability in DROPPED_CAPABILITIES:
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        # Effective, permitted and inheritable, of the lower and the upper half.
        for kind in range(3):
            words[kind + 3 * (capability // 32)] &= ~(1 << capability % 32)
    libc.capset(header, struct.pack('=6I', *words))
