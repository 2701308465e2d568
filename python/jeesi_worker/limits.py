"""What the code of agents may not do. Applied once, before any of it is loaded, and for all processes it starts."""

import ctypes
import os
import resource
import struct

PR_SET_NO_NEW_PRIVS = 38
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
MAKE_BLOCK, REFER = 1 << 11, 1 << 13
# Who has one of these may look into any process, confined or not: SYS_PTRACE, SYS_ADMIN, PERFMON.
ALL_SEEING = (19, 21, 38)
PR_CAPBSET_DROP = 24
CAPABILITY_VERSION = 0x20080522
# The first version that can allow files to be moved from folder to folder.
OLDEST_LANDLOCK = 2


def apply(memory_mb):
    memory = memory_mb * 1024 * 1024
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except (ValueError, OSError):
        # A stricter limit is set already; or the system has no such limit, as macOS.
        pass
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hide_other_processes()


def hide_other_processes():
    """
    Keeps the service's own environment and memory from this process: what Landlock has confined may not look into
    processes beyond (/proc/<pid>/environ, ptrace). Nothing else is forbidden by it. A kernel without it forbids nothing.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION) < OLDEST_LANDLOCK:
            return
        drop_capabilities(libc)
        handled = struct.pack('=Q', MAKE_BLOCK | REFER)
        ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, handled, len(handled), 0)
        root = os.open('/', os.O_PATH)
        allowed = struct.pack('=Qi', MAKE_BLOCK | REFER, root)
        libc.syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, allowed, 0)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
        os.close(root)
        os.close(ruleset)
    except (AttributeError, OSError):
        pass


def drop_capabilities(libc):
    """Root has them; nobody else loses anything."""
    header = struct.pack('=Ii', CAPABILITY_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    libc.capget(header, data)
    words = list(struct.unpack('=6I', data.raw))
    for capability in ALL_SEEING:
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        # Effective, permitted and inheritable, of the lower and the upper half.
        for kind in range(3):
            words[kind + 3 * (capability // 32)] &= ~(1 << capability % 32)
    libc.capset(header, struct.pack('=6I', *words))
