"""Refuse local sockets: a network namespace and Landlock do not cover them, and Docker's own is one.

A filter cannot see the address that a connect is for, so a socket of that family is not made at all. CUDA does not
start without one that it binds: where it must, nothing can be connected to or sent with an address. Numbers:
linux/seccomp.h, linux/filter.h, linux/audit.h, and the system call tables.
"""

import ctypes
import errno
import os

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
AF_UNIX = 1
LOAD, IF_EQUAL, IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
IO_URING_SETUP = 425  # it can make sockets past every filter; one number on every architecture
X32 = 0x40000000  # a second set of numbers for x86-64
# machine: its name in audit.h, the number of socket(), those of connect(), sendto(), sendmsg(), sendmmsg()
MACHINES = {
    "x86_64": (0xC000003E, 41, (42, 44, 46, 307)),
    "aarch64": (0xC00000B7, 198, (203, 206, 211, 269)),
}


class Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32)]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction))]


def unconnected(architecture, calls):
    """The filter that lets sockets be made and bound, and nothing be reached with them."""
    refused = [(IF_EQUAL, len(calls) - i, 0, call) for i, call in enumerate(calls)]
    last = len(calls) + 1  # instructions from the check of the architecture's neighbour to the refusal
    return [
        (LOAD, 0, 0, ARCHITECTURE),
        (IF_EQUAL, 0, last + 3, architecture),
        (LOAD, 0, 0, NUMBER),
        (IF_AT_LEAST, last + 1, 0, X32),
        (IF_EQUAL, last, 0, IO_URING_SETUP),
        *refused,
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
    ]


def instructions(architecture, socket):
    """The filter; a jump counts the instructions it passes over."""
    return [
        (LOAD, 0, 0, ARCHITECTURE),
        (IF_EQUAL, 0, 7, architecture),
        (LOAD, 0, 0, NUMBER),
        (IF_AT_LEAST, 5, 0, X32),
        (IF_EQUAL, 4, 0, IO_URING_SETUP),
        (IF_EQUAL, 0, 2, socket),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (IF_EQUAL, 1, 0, AF_UNIX),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
    ]


def no_local_sockets(libc, may_bind=False):
    """Words for the report; they start with "not" where this kernel or machine does not allow it."""
    if os.uname().machine not in MACHINES:
        return "not refused: unknown machine " + os.uname().machine
    architecture, socket, reaching = MACHINES[os.uname().machine]
    program = unconnected(architecture, reaching) if may_bind else instructions(architecture, socket)
    array = (Instruction * len(program))(*program)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    loaded = libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(Program(len(program), array)), 0, 0)
    if loaded != 0:
        return "not refused: seccomp: " + os.strerror(ctypes.get_errno())
    return "no connection, nothing sent (seccomp)" if may_bind else "refused (seccomp)"
