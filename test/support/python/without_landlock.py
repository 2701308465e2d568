"""Starts a command on a kernel that has no Landlock, as it seems to the command: `without_landlock.py <uid> <command> …`."""

import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, AT_LEAST, GREATER, RETURN = 0x20, 0x35, 0x25, 0x06
ALLOW, NO_SUCH_CALL = 0x7fff0000, 0x00050000 | 38
LANDLOCK = (444, 446)


class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('filter', ctypes.c_char_p)]


def main():
    uid, command = int(sys.argv[1]), sys.argv[2:]
    if uid != os.getuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    instructions = [
        (LOAD, 0, 0, 0), (AT_LEAST, 0, 2, LANDLOCK[0]), (GREATER, 1, 0, LANDLOCK[1]), (RETURN, 0, 0, NO_SUCH_CALL), (RETURN, 0, 0, ALLOW)
    ]
    code = b''.join(struct.pack('=HBBI', *instruction) for instruction in instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(len(instructions), code)), 0, 0):
        sys.exit(f'seccomp: {os.strerror(ctypes.get_errno())}')
    os.execv(command[0], command)


main()
