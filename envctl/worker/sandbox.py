"""Shut a worker in before it meets the model: no network, writes to its job folder only, caps on what it may take.

Uses what an ordinary user may do to himself: limits, a network namespace, Landlock, seccomp. What the kernel does not
allow is reported in the result, never passed over. Numbers: linux/landlock.h, linux/sched.h, linux/prctl.h.
"""

import ctypes
import errno
import os
import resource
import signal

from seccomp import no_local_sockets

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
LANDLOCK_CREATE, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT = 444, 445, 446  # one number on every architecture
WRITE_FILE, TRUNCATE = 1 << 1, 1 << 14
REFER = 1 << 13  # renaming from one folder to another: refused everywhere unless it is asked for
# remove folder and file; make device, folder, file, socket, fifo, block device, link
CHANGE_FOLDER = sum(1 << bit for bit in (4, 5, 6, 7, 8, 9, 10, 11, 12))
TCP_BIND_AND_CONNECT = 3

libc = ctypes.CDLL(None, use_errno=True)


class Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64)]


class PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("access", ctypes.c_uint64), ("fd", ctypes.c_int32)]


def enter(folder, limits, on_gpu=False):
    """Shut this process in. Returns what was enforced, by name; a value that starts with "not" was not. CUDA starts
    with less only: it names threads in /proc/self, and binds a local socket (docs/evidence.md#cuda-in-a-sandbox)."""
    done = {"memory": cap_memory(limits["memory"]), "network": no_network()}
    # after the namespaces: entering a user namespace changes credentials, and the kernel then forgets this wish
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["file_bytes"], limits["file_bytes"]))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file over the cap is an error to read, not a death
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    done["processes"] = cap_processes(limits["processes"])
    done["writes"], covered = only_below(folder, on_gpu)
    if done["network"].startswith("not") and covered:
        done["network"] = "TCP refused (landlock); no network namespace: " + done["network"]
    done["local sockets"] = no_local_sockets(libc, may_bind=on_gpu)
    return done


def cap_memory(size):
    """Cap the private writable memory, which is what allocations take. (An address-space cap would forbid the large
    reservations that CUDA makes and never fills.)"""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    size = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    return "%d bytes (RLIMIT_DATA)" % size


def cap_processes(count):
    """Cap the processes and threads of this user at `count` more than there are."""
    own = os.getuid()
    there = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat("/proc/" + name).st_uid == own:
                    there += len(os.listdir("/proc/%s/task" % name))
            except OSError:
                continue
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    cap = there + count if hard == resource.RLIM_INFINITY else min(there + count, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (cap, cap))
    return "%d (RLIMIT_NPROC; root is exempt)" % cap if own == 0 else "%d (RLIMIT_NPROC)" % cap


def no_network():
    """Move into a network namespace without interfaces, through a user namespace where that is needed."""
    if libc.unshare(CLONE_NEWNET) == 0:
        return "none (own namespace)"
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return "not isolated: unshare: " + os.strerror(ctypes.get_errno())
    for path, text in (
        ("setgroups", "deny"),
        ("uid_map", "%d %d 1" % (uid, uid)),
        ("gid_map", "%d %d 1" % (gid, gid)),
    ):
        try:
            with open("/proc/self/" + path, "w") as stream:
                stream.write(text)
        except OSError:
            pass  # the namespace stands all the same; files are then shown as owned by nobody
    return "none (own namespace)"


def only_below(folder, on_gpu=False):
    """Refuse writes outside `folder` (and to the null device, GPU nodes, and for a GPU this process's own files in
    /proc). Returns words, and whether TCP is refused as well."""
    abi = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if abi < 1:
        return "not confined: landlock: " + os.strerror(ctypes.get_errno()), False
    writing = CHANGE_FOLDER | WRITE_FILE | (TRUNCATE if abi >= 3 else 0) | (REFER if abi >= 2 else 0)
    rules = Ruleset(writing, TCP_BIND_AND_CONNECT if abi >= 4 else 0)
    size = ctypes.c_size_t(ctypes.sizeof(rules) if abi >= 4 else 8)
    handle = libc.syscall(LANDLOCK_CREATE, ctypes.byref(rules), size, ctypes.c_uint32(0))
    if handle < 0:
        return "not confined: landlock: " + os.strerror(ctypes.get_errno()), False
    allow(handle, folder, writing)
    for device in ["/dev/null", *gpu_nodes()]:
        allow(handle, device, WRITE_FILE | (writing & TRUNCATE))
    if on_gpu:
        allow(handle, "/proc/self", WRITE_FILE | (writing & TRUNCATE))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(LANDLOCK_RESTRICT, ctypes.c_int(handle), ctypes.c_uint32(0)) != 0:
        return "not confined: landlock: " + os.strerror(ctypes.get_errno()), False
    os.close(handle)
    return "job folder only (landlock %d)" % abi, abi >= 4


def gpu_nodes():
    return ["/dev/" + name for name in os.listdir("/dev") if name.startswith("nvidia")]


def allow(handle, path, access):
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return
        raise
    rule = PathBeneath(access, descriptor)
    libc.syscall(LANDLOCK_ADD_RULE, ctypes.c_int(handle), ctypes.c_int(1), ctypes.byref(rule), ctypes.c_uint32(0))
    os.close(descriptor)
