"""Print one JSON document: what this user may take of the machine, and which walls a local worker can be put behind.

The walls are those of envctl/worker/sandbox.py, tried in a child that ends at once.
"""

import ctypes
import errno
import os
import resource
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import Child, fact, main

CHILD_SECONDS = 0.7
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
LANDLOCK_CREATE, VERSION = 444, 1  # one number on every architecture
PR_SET_SECCOMP, MODE_FILTER = 22, 2
SWITCHES = (
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
)


def rlimits():
    """Name -> soft limit, -1 for none."""
    names = ("nofile", "nproc", "as", "data", "stack", "core", "memlock", "fsize")
    found = {name: resource.getrlimit(getattr(resource, "RLIMIT_" + name.upper()))[0] for name in names}
    return {name: -1 if value == resource.RLIM_INFINITY else value for name, value in found.items()}


def walls():
    """What the kernel lets this process do to itself: words that begin with "not" where it does not."""
    libc = ctypes.CDLL(None, use_errno=True)
    return {"landlock": landlock(libc), "seccomp": seccomp(libc), "network": network(libc)}


def why():
    return "not: " + os.strerror(ctypes.get_errno())


def landlock(libc):
    version = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION))
    return "version %d" % version if version > 0 else why()


def seccomp(libc):
    """A filter at address 0: a kernel that knows filters says "bad address" (EFAULT), one that does not "invalid"."""
    libc.prctl(PR_SET_SECCOMP, MODE_FILTER, None, 0, 0)
    return "filters" if ctypes.get_errno() == errno.EFAULT else why()


def network(libc):
    if libc.unshare(CLONE_NEWNET) == 0:
        return "own namespace"
    return "own user namespace" if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 else why()


def facts(machine):
    value, error = machine.call("rlimits", rlimits)
    yield fact("rlimits", value, "getrlimit", error)
    value, error = machine.call("walls", lambda: Child(walls).answer(CHILD_SECONDS))
    yield fact("walls", value, "landlock_create_ruleset, seccomp, unshare (in a child)", error)
    switches = {path.rpartition("/")[2]: machine.text(path) for path in SWITCHES if machine.text(path) is not None}
    yield fact("user_namespace_switches", switches, "/proc/sys")


if __name__ == "__main__":
    main(facts)
