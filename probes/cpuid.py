"""Print one JSON document: what the processor itself says it can do, and what the operating system lets it do.

x86: CPUID and XGETBV through machine code of our own, in a child, so that a refusal costs this one fact.
/proc/cpuinfo stands beside it: the two differ where a kernel option, an emulator or a container hides something.
Bits: Intel's and AMD's manuals as archspec and the kernel's cpufeatures.h repeat them. ARM: AT_HWCAP, AT_HWCAP2.
"""

import ctypes
import mmap
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import Child, fact, main

# the kernel's words: name, leaf, subleaf, register (0 eax … 3 edx), bit
BITS = (
    ("sse2", 1, 0, 3, 26), ("sse4_1", 1, 0, 2, 19), ("sse4_2", 1, 0, 2, 20), ("popcnt", 1, 0, 2, 23),
    ("fma", 1, 0, 2, 12), ("avx", 1, 0, 2, 28), ("f16c", 1, 0, 2, 29), ("avx2", 7, 0, 1, 5),
    ("avx512f", 7, 0, 1, 16), ("avx512dq", 7, 0, 1, 17), ("avx512cd", 7, 0, 1, 28), ("avx512bw", 7, 0, 1, 30),
    ("avx512vl", 7, 0, 1, 31), ("avx512vbmi", 7, 0, 2, 1), ("avx512_vbmi2", 7, 0, 2, 6),
    ("avx512_vnni", 7, 0, 2, 11), ("avx512_fp16", 7, 0, 3, 23), ("amx_bf16", 7, 0, 3, 22),
    ("amx_tile", 7, 0, 3, 24), ("amx_int8", 7, 0, 3, 25), ("avx_vnni", 7, 1, 0, 4), ("avx512_bf16", 7, 1, 0, 5),
    ("amx_fp16", 7, 1, 0, 21),
)  # fmt: skip
OSXSAVE, HYPERVISOR = 1 << 27, 1 << 31  # leaf 1, ecx
# what the system must save at a context switch before a group may be used (bits of XCR0)
STATES = (("amx", 0x60000), ("avx512", 0xE6), ("avx", 0x6), ("fma", 0x6), ("f16c", 0x6))
CODE_CPUID = bytes.fromhex("534989d0 89f8 89f1 0fa2 418900 41895804 41894808 4189500c 5b c3".replace(" ", ""))
CODE_XGETBV = bytes.fromhex("31c9 0f01d0 48c1e220 4809d0 c3".replace(" ", ""))
HWCAP = (
    ("fp", 0), ("asimd", 1), ("atomics", 8), ("fphp", 9), ("asimdhp", 10), ("asimdrdm", 12), ("asimddp", 20),
    ("sve", 22), ("asimdfhm", 23),
)  # fmt: skip
HWCAP2 = (("sve2", 1), ("svei8mm", 9), ("svebf16", 12), ("i8mm", 13), ("bf16", 14), ("sme", 23))
CHILD_SECONDS = 1
VENDOR_LEAF = 0x40000000  # the hypervisor's name


def executable(code):
    """Memory that holds `code` and may be run; it must outlive the functions made of it."""
    place = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    place.write(code)
    return ctypes.c_char.from_buffer(place)


def registers():
    """{"leaves": {"leaf.subleaf": [eax, ebx, ecx, edx]}, "xcr0": what the system saves} of the processor we run on."""
    code, code_xgetbv = executable(CODE_CPUID), executable(CODE_XGETBV)
    cpuid = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)(ctypes.addressof(code))
    xgetbv = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(code_xgetbv))
    answer = (ctypes.c_uint32 * 4)()
    leaves = {}
    for leaf, subleaf in ((0, 0), (1, 0), (7, 0), (7, 1), (VENDOR_LEAF, 0)):
        if leaf <= leaves.get("0.0", [7])[0] or leaf == VENDOR_LEAF:
            cpuid(leaf, subleaf, ctypes.addressof(answer))
            leaves["%d.%d" % (leaf, subleaf)] = list(answer)
    return {"leaves": leaves, "xcr0": xgetbv() if leaves["1.0"][2] & OSXSAVE else 0}


def read_cpuid():
    if os.uname().machine not in ("x86_64", "AMD64") or struct.calcsize("P") != 8:
        raise OSError("no machine code for %s, %d bits" % (os.uname().machine, 8 * struct.calcsize("P")))
    return Child(registers).answer(CHILD_SECONDS)


def bits(leaves):
    """The words of BITS that the processor claims."""
    return [
        name
        for name, leaf, subleaf, register, bit in BITS
        if leaves.get("%d.%d" % (leaf, subleaf), [0] * 4)[register] >> bit & 1
    ]


def enabled(words, xcr0):
    """The words whose registers the operating system saves."""

    def saved(word):
        wanted = [mask for prefix, mask in STATES if word.startswith(prefix)]
        return not wanted or xcr0 & wanted[0] == wanted[0]

    return [word for word in words if saved(word)]


def hypervisor(leaves):
    """The hypervisor's own name ("KVMKVMKVM"), "" on bare metal."""
    if not leaves.get("1.0", [0] * 4)[2] & HYPERVISOR:
        return ""
    name = struct.pack("<3I", *leaves.get("%d.0" % VENDOR_LEAF, [0] * 4)[1:])
    return name.decode("ascii", "replace").strip("\0 ") or "unnamed"


def kernel_words(machine):
    for line in (machine.text("/proc/cpuinfo") or "").splitlines():
        name, found, value = line.partition(":")
        if found and name.strip() in ("flags", "Features"):
            return value.split()
    return None


def x86(machine, words):
    origin = "cpuid, xgetbv"
    value, error = machine.call("cpuid", read_cpuid)
    names = ("cpuid", "cpuid_enabled", "cpuid_hypervisor", "cpu_disagreement")
    if error:
        for name in names:
            yield fact(name, None, origin, error)
        return
    claimed = bits(value["leaves"])
    usable = enabled(claimed, value["xcr0"])
    yield fact("cpuid", claimed, origin)
    yield fact("cpuid_enabled", usable, origin)
    yield fact("cpuid_hypervisor", hypervisor(value["leaves"]), "cpuid leaf 0x40000000")
    if words is None:
        yield fact("cpu_disagreement", None, "/proc/cpuinfo", "no flags in /proc/cpuinfo")
        return
    known = {bit[0] for bit in BITS}
    yield fact(
        "cpu_disagreement",
        {
            "not_enabled": [word for word in claimed if word not in usable],
            "only_cpuid": [word for word in usable if word not in words],
            "only_kernel": sorted(known.intersection(words) - set(claimed)),
        },
        "cpuid against /proc/cpuinfo",
    )


def read_auxv():
    libc = ctypes.CDLL(None)
    libc.getauxval.restype = ctypes.c_ulong
    libc.getauxval.argtypes = [ctypes.c_ulong]
    return [libc.getauxval(16), libc.getauxval(26)]


def arm(machine, words):
    value, error = machine.call("auxv", read_auxv)
    if error:
        yield fact("hwcap", None, "getauxval", error)
        yield fact("cpu_disagreement", None, "getauxval", error)
        return
    tables = ((HWCAP, value[0]), (HWCAP2, value[1]))
    said = [name for table, number in tables for name, bit in table if number >> bit & 1]
    yield fact("hwcap", said, "getauxval(AT_HWCAP, AT_HWCAP2)")
    known = {name for table, _ in tables for name, _ in table}
    only_kernel = sorted(known.intersection(words or said) - set(said))
    only_auxv = [word for word in said if words is not None and word not in words]
    differ = {"not_enabled": [], "only_cpuid": only_auxv, "only_kernel": only_kernel}
    yield fact("cpu_disagreement", differ, "getauxval against /proc/cpuinfo")


def facts(machine):
    words = kernel_words(machine)
    arch, _ = machine.call("machine", lambda: os.uname().machine)
    if arch in ("aarch64", "arm64"):
        for found in arm(machine, words):
            yield found
    else:
        for found in x86(machine, words):
            yield found


if __name__ == "__main__":
    main(facts)
