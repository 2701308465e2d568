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
# With one of these a process can inspect any other, even from within Landlock: SYS_PTRACE, SYS_ADMIN, PERFMON.
INSPECTING_CAPABILITIES = (19, 21, 38)
PR_CAPBSET_DROP = 24
CAPABILITY_VERSION = 0x20080522
# The first version that can permit moving files between folders.
MIN_LANDLOCK = 2


def apply(memory_mb):
    memory = memory_mb * 1024 * 1024
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except (ValueError, OSError):
        # A stricter limit is already set, or the system has no such limit, like macOS.
        pass
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hide_other_processes()


def hide_other_processes():
    """
    Hides the environment and memory of the service: within a Landlock domain, a process cannot inspect others
    outside of it (/proc/<pid>/environ, ptrace). The domain forbids nothing else. Without Landlock nothing is hidden.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION) < MIN_LANDLOCK:
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
    """Drops the capabilities that circumvent Landlock. Only root has them."""
    header = struct.pack('=Ii', CAPABILITY_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    libc.capget(header, data)
    words = list(struct.unpack('=6I', data.raw))
    for capability in INSPECTING_CAPABILITIES:
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        # Effective, permitted and inheritable, of the lower and the upper half.
        for kind in range(3):
            words[kind + 3 * (capability // 32)] &= ~(1 << capability % 32)
    libc.capset(header, struct.pack('=6I', *words))
