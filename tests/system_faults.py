"""Faults of a machine itself: how each is made on a healthy recorded machine, and what the doctor must say."""

from __future__ import annotations

from tests.broken_hosts import (
    Copy,
    Fault,
)


def no_xsave(machine: Copy) -> None:
    """The kernel option that takes AVX away from programs, though the processor has it."""
    machine.replace("proc/cmdline", "quiet", "quiet noxsave")
    machine.replace("proc/cpuinfo", "fma avx f16c avx2", "")
    machine.recorded(lambda document: document["calls"]["cpuid"]["value"].update(xcr0=3))


def guest_without_avx(machine: Copy) -> None:
    """A guest whose hypervisor shows it an old processor."""
    machine.replace("proc/cpuinfo", "fma avx f16c avx2 avx512f", "")
    leaves = {"0.0": [27, 0, 0, 0], "1.0": [0, 0, 1 << 31 | 1 << 19 | 1 << 20 | 1 << 23, 1 << 26]}
    machine.call("cpuid", leaves=leaves, xcr0=3)
    for word in ("avx512dq", "avx512cd", "avx512bw", "avx512vl", "avx512_vnni"):
        machine.replace("proc/cpuinfo", word, "")


def old_atom(machine: Copy) -> None:
    """A processor that never had AVX, on bare metal."""
    machine.replace("proc/cpuinfo", "fma avx f16c avx2", "")
    machine.call("cpuid", leaves={"0.0": [7, 0, 0, 0], "1.0": [0, 0, 1 << 19 | 1 << 20 | 1 << 23, 1 << 26]}, xcr0=3)


def shadowed(machine: Copy) -> None:
    """An old C++ library in front of the system's."""
    machine.call("libstdcxx", path="/opt/vendor/lib/libstdc++.so.6", glibcxx="3.4.28")
    machine.answer("loader variables", {"LD_LIBRARY_PATH": "/opt/vendor/lib"})
    machine.there("/opt/vendor/lib")


def conda_too_old(machine: Copy) -> None:
    machine.call("libstdcxx", path="/home/user/miniconda3/envs/ml/lib/libstdc++.so.6.0.21", glibcxx="3.4.21")


def stubs(machine: Copy) -> None:
    machine.answer("loader variables", {"LD_LIBRARY_PATH": "/usr/local/cuda/lib64/stubs"})
    machine.there("/usr/local/cuda/lib64/stubs")
    machine.there("/usr/local/cuda/lib64/stubs/libcuda.so.1", "-rwxr-xr-x")


def musl(machine: Copy) -> None:
    machine.error("glibc", "OSError: unrecognized configuration name")
    machine.there("/lib/ld-musl-x86_64.so.1", "-rwxr-xr-x")


FAULTS = (
    Fault(
        name="noxsave on the kernel's command line",
        change=no_xsave,
        check="cpu.enabled",
        level="FAIL",
        said="(kernel option noxsave)",
        fix="remove noxsave",
        folded=("cpu.isa",),
    ),
    Fault(
        name="hypervisor saves no AVX state",
        host="debian12-container",
        change=lambda m: m.call("cpuid", xcr0=3),
        check="cpu.enabled",
        level="FAIL",
        said="the operating system does not enable them",
        fix="host-passthrough",
    ),
    Fault(
        name="/proc/cpuinfo of another machine",
        change=lambda m: m.replace("proc/cpuinfo", "avx2", "avx2 avx512f"),
        check="cpu.enabled",
        level="WARN",
        said="avx512f, which the processor does not have",
        fix="/proc is the machine's own",
    ),
    Fault(
        name="guest without AVX",
        host="debian12-container",
        change=guest_without_avx,
        check="cpu.isa",
        level="FAIL",
        said="no avx: mxnet, tensorflow",
        fix="qm set VMID --cpu host",
    ),
    Fault(
        name="processor without AVX",
        change=old_atom,
        check="cpu.isa",
        level="FAIL",
        said="no avx",
        fix="use an engine that runs on this CPU",
    ),
    Fault(
        name="half a CPU of 16",
        host="debian12-container",
        change=lambda m: m.write("sys/fs/cgroup/cpu.max", "50000 100000"),
        check="cpu.quota",
        level="WARN",
        said="only 0.5 of the 16 CPUs",
        fix="--threads 1",
    ),
    Fault(
        name="32-bit Python",
        change=lambda m: m.answer("pointer_bits", 32),
        check="os.arch",
        level="FAIL",
        said="32-bit",
        fix="64-bit Python",
    ),
    Fault(
        name="processor without wheels",
        change=lambda m: m.call("uname", arch="riscv64"),
        check="os.arch",
        level="FAIL",
        said="no wheels for riscv64",
        fix="use a machine",
    ),
    Fault(
        name="musl",
        host="debian12-container",
        change=musl,
        check="libc",
        level="FAIL",
        said="the C library is musl",
        fix="bookworm-slim",
    ),
    Fault(
        name="CentOS 7's glibc",
        change=lambda m: m.answer("glibc", "2.17"),
        check="libc",
        level="WARN",
        said="glibc 2.17 is too old",
        fix="stay with",
    ),
    Fault(
        name="older C++ library in LD_LIBRARY_PATH",
        change=shadowed,
        check="libstdcxx",
        level="WARN",
        said="GLIBCXX_3.4.28",
        fix="take /opt/vendor/lib out of LD_LIBRARY_PATH",
    ),
    Fault(
        name="conda's old C++ library",
        change=conda_too_old,
        check="libstdcxx",
        level="FAIL",
        said="GLIBCXX_3.4.21",
        fix="libstdcxx-ng",
    ),
    Fault(
        name="no C++ library",
        host="debian12-container",
        change=lambda m: m.error("libstdcxx", "OSError: libstdc++.so.6: cannot open shared object file"),
        check="libstdcxx",
        level="FAIL",
        said="no C++ library",
        fix="apt-get install -y libstdc++6",
    ),
    Fault(
        name="stub libcuda in LD_LIBRARY_PATH",
        change=stubs,
        check="ld.env",
        level="FAIL",
        said="for linking only",
        fix="take /usr/local/cuda/lib64/stubs out",
    ),
    Fault(
        name="stubs in ld.so.conf.d",
        change=lambda m: m.write("etc/ld.so.conf.d/cuda.conf", "/usr/local/cuda/lib64/stubs\n"),
        check="ld.env",
        level="WARN",
        said="for linking only",
        fix="/etc/ld.so.conf.d",
    ),
    Fault(
        name="LD_PRELOAD of a library that is gone",
        change=lambda m: m.answer("loader variables", {"LD_PRELOAD": "/opt/jemalloc/libjemalloc.so.2"}),
        check="ld.env",
        level="WARN",
        said="/opt/jemalloc/libjemalloc.so.2",
        fix="unset LD_PRELOAD",
    ),
    Fault(
        name="empty entry in LD_LIBRARY_PATH",
        change=lambda m: m.answer("loader variables", {"LD_LIBRARY_PATH": ":/usr/lib/x86_64-linux-gnu"}),
        check="ld.env",
        level="WARN",
        said="empty or relative",
        fix="export LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu",
    ),
    Fault(
        name="clock of 1970",
        change=lambda m: m.answer("clock", 86400),
        check="os.clock",
        level="FAIL",
        said="before 2026",
        fix="timedatectl",
    ),
)
