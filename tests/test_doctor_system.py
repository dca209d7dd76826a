"""Doctor on the processor, the system, limits and disks: faults found with their root cause, healthy ones silent."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from envctl.host import collect, start_probes
from tests.broken_hosts import (
    CHECKS,
    GB,
    OWN_HOSTS,
    Copy,
    Fault,
    assert_found,
    copied,
    facts_of,
    roots,
    verdicts_of,
)

ROOT = Path(__file__).parent.parent
OWN_PROBES = ("system", "cpuid", "limits", "loader", "disks", "pythons")
OLDEST = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python"))
HOME = "/home/user"
SLICE = "sys/fs/cgroup/user.slice/user-1000.slice/"


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


def apparmor(machine: Copy) -> None:
    machine.call("walls", network="not: Permission denied", landlock="version 3")
    machine.write("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")


def tmpdir_gone(machine: Copy) -> None:
    machine.call("disk variables", TMPDIR="/scratch/user")

    def add(document: dict[str, Any]) -> None:
        calls = document["calls"]
        calls["disk:/scratch/user"] = {"value": {**calls["disk:/"]["value"], "there": False, "writable": True}}

    machine.recorded(add)


def no_inodes(machine: Copy) -> None:
    def edit(document: dict[str, Any]) -> None:
        for name, answer in document["calls"].items():
            if name.startswith("disk:"):
                answer["value"]["inodes_free"] = 1000

    machine.recorded(edit)


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


def tegra_without_memory(machine: Copy) -> None:
    machine.write(
        "etc/nv_tegra_release", "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64\n"
    )
    machine.replace("proc/meminfo", f"MemAvailable:   {6 * GB // 1024}", f"MemAvailable:   {GB // 1024}")
    for name in ("onnxruntime-1.23.0", "torch-2.9.0+cpu"):  # builds for the CPU are another fault on a Jetson
        machine.gone(f"{HOME}/.venvs/ml/lib/python3.12/site-packages/{name}.dist-info")


def memory_group_full(machine: Copy) -> None:
    machine.write("sys/fs/cgroup/memory.current", str(8 * GB - GB // 4))
    machine.write("sys/fs/cgroup/memory.stat", "inactive_file 4096\n")


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
    Fault(
        name="memory all in use",
        change=lambda m: m.replace("proc/meminfo", f"MemAvailable:   {24 * GB // 1024}", "MemAvailable:   300000"),
        check="mem",
        level="WARN",
        said="only 293 MB of memory are free",
        fix="ps -eo rss",
    ),
    Fault(
        name="Jetson without memory for a build",
        host="ubuntu24.04-graviton",
        change=tegra_without_memory,
        check="mem",
        level="WARN",
        said="TensorRT builds",
        fix="isolate multi-user.target",
    ),
    Fault(
        name="control group full",
        host="debian12-container",
        change=memory_group_full,
        check="mem.limit",
        level="WARN",
        said="256 MB left",
        fix="--memory",
    ),
    Fault(
        name="small control group above ours",
        change=lambda m: m.write("sys/fs/cgroup/user.slice/memory.max", str(GB // 2)),
        check="mem.limit",
        level="WARN",
        said="may hold 512 MB",
        fix="docker update --memory",
    ),
    Fault(
        name="no more threads",
        host="debian12-container",
        change=lambda m: m.write("sys/fs/cgroup/pids.current", "4090"),
        check="os.threads",
        level="FAIL",
        said="only 6 more threads",
        fix="--pids-limit",
    ),
    Fault(
        name="few file handles",
        change=lambda m: m.call("rlimits", nofile=64),
        check="os.limits",
        level="WARN",
        said="nofile is 64",
        fix="ulimit -n",
    ),
    Fault(
        name="limit on address space",
        change=lambda m: m.call("rlimits", **{"as": 16 * GB}),
        check="os.limits",
        level="WARN",
        said="CUDA reserves",
        fix="ulimit -v unlimited",
    ),
    Fault(
        name="kernel without Landlock",
        change=lambda m: m.call("walls", landlock="not: Function not implemented"),
        check="os.walls",
        level="WARN",
        said="no Landlock",
        fix="kernel from 5.13",
    ),
    Fault(
        name="AppArmor forbids namespaces",
        host="ubuntu24.04-graviton",
        change=apparmor,
        check="os.walls",
        level="WARN",
        said="no network namespace",
        fix="kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    Fault(
        name="full disk under Docker",
        change=lambda m: m.call("disk:/var/lib/docker", free=GB, device=9),
        check="disk",
        level="FAIL",
        said="1.0 GB are free for Docker's images",
        fix="docker system prune",
    ),
    Fault(
        name="little room for environments",
        change=lambda m: m.call(f"disk:{HOME}/.cache/envctl", free=4 * GB),
        check="disk",
        level="WARN",
        said="4.0 GB are free for envctl's cache",
        fix="export ENVCTL_CACHE=",
    ),
    Fault(
        name="full /tmp",
        change=lambda m: m.call("disk:/tmp", free=10 << 20, total=2 * GB),
        check="disk",
        level="FAIL",
        said="10 MB are free for temporary files",
        fix="TMPDIR",
    ),
    Fault(
        name="no inodes left",
        change=no_inodes,
        check="disk.inodes",
        level="FAIL",
        said="of the inodes are left",
        fix="du --inodes",
    ),
    Fault(
        name="cache that root made",
        change=lambda m: m.call(
            f"disk:{HOME}/.cache/envctl", there=True, at=f"{HOME}/.cache/envctl", owner=0, mine=False, writable=False
        ),
        check="disk.rights",
        level="FAIL",
        said="another user's",
        fix="sudo chown -R",
    ),
    Fault(
        name="pip's cache that root made",
        change=lambda m: m.call(f"disk:{HOME}/.cache/pip", owner=0, mine=False, writable=False),
        check="disk.rights",
        level="WARN",
        said="pip's cache",
        fix="sudo chown -R",
    ),
    Fault(
        name="read-only disk",
        change=lambda m: m.call(f"disk:{HOME}/.cache/envctl", read_only=True, writable=False),
        check="disk.rights",
        level="FAIL",
        said="mounted read-only",
        fix="export ENVCTL_CACHE=/path/elsewhere",
    ),
    Fault(
        name="a file where the cache should be",
        change=lambda m: m.call(f"disk:{HOME}/.cache/envctl", folder=False, at=f"{HOME}/.cache"),
        check="disk.rights",
        level="FAIL",
        said="is a file",
        fix="export ENVCTL_CACHE=/path/elsewhere",
    ),
    Fault(
        name="TMPDIR that is not there",
        change=tmpdir_gone,
        check="disk.tmpdir",
        level="WARN",
        said="TMPDIR is /scratch/user",
        fix="mkdir -p /scratch/user",
    ),
    Fault(
        name="cache on a noexec disk",
        change=lambda m: m.call(f"disk:{HOME}/.cache/envctl", noexec=True),
        check="disk.exec",
        level="FAIL",
        said="mounted noexec",
        fix="remount,exec",
    ),
    Fault(
        name="network disk that is gone",
        change=lambda m: m.error(f"disk:{HOME}/.cache/uv", "OSError: no answer within 0.8 s"),
        check="disk.answers",
        level="FAIL",
        said="does not answer",
        fix="umount -l",
    ),
)  # fmt: skip


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_healthy_machines_are_silent(host: str, tmp_path: Path) -> None:
    verdicts = verdicts_of(copied(host, tmp_path).folder)
    assert roots(verdicts) == set()
    skipped = {name for name, verdict in verdicts.items() if verdict.finding.level == "SKIP"}
    assert skipped == set(), {name: verdicts[name].finding.said for name in skipped}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_found_with_its_root_cause(fault: Fault, tmp_path: Path) -> None:
    assert_found(fault, tmp_path)


def test_every_check_of_the_system_is_broken_by_a_fault() -> None:
    told = ("cpu.bf16", "os.kind")  # these only tell
    own = {check.id for check in CHECKS if not check.id.startswith(("py.", "lib."))}
    assert own - set(told) == {fault.check for fault in FAULTS}


def test_what_is_unknown_is_never_ok(tmp_path: Path) -> None:
    """A machine of which nothing was recorded: no check may say OK about what it could not see."""
    verdicts = verdicts_of(tmp_path)
    fine = {name for name, verdict in verdicts.items() if verdict.finding.level == "OK"}
    assert fine <= {"py.cpu_wheel"}  # no GPU on a bus without devices
    assert verdicts["cpu.isa"].finding.level == verdicts["libc"].finding.level == "SKIP"
    assert "not known" in verdicts["cpu.isa"].finding.said


# ---- the probes themselves


@pytest.mark.parametrize("probe", OWN_PROBES)
def test_probe_answers_on_this_machine_within_its_time(probe: str) -> None:
    started = time.monotonic()
    host = collect(start_probes([probe]), 10)
    assert time.monotonic() - started < 3
    assert host.facts
    for fact in host.facts.values():
        assert fact.origin
        assert (fact.value is None) == bool(fact.error), fact


@pytest.mark.skipif(not OLDEST, reason="no CPython 3.6 here")
@pytest.mark.parametrize("probe", OWN_PROBES)
def test_probe_says_the_same_under_the_oldest_python(probe: str) -> None:
    told = []
    for python in (OLDEST[-1], sys.executable):
        done = subprocess.run([python, "-I", "-S", ROOT / f"probes/{probe}.py"], capture_output=True, check=True)
        told.append({fact["name"]: fact["value"] for fact in json.loads(done.stdout)["facts"]})
    assert set(told[0]) == set(told[1])
    steady = set(told[0]) - {"memory_available", "clock", "disks", "python_running", "python_environments", "pids_used"}
    assert {name: told[0][name] for name in steady - {"memory_limit_used"}} == {
        name: told[1][name] for name in steady - {"memory_limit_used"}
    }


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86 machine code")
def test_the_processor_says_what_the_kernel_says() -> None:
    facts = facts_of(None)
    cpuid = facts.facts["cpuid"]
    assert cpuid.value, cpuid.error
    words = set((facts.value("cpu") or "").split())
    assert set(facts.facts["cpuid_enabled"].value) == set(cpuid.value) & words


def test_facts_keep_their_names_and_kinds() -> None:
    facts = facts_of(None)
    assert facts.value("glibc") == platform.libc_ver()[1]
    assert facts.value("arch") == platform.machine()
    assert facts.facts["cores"].value == len(os.sched_getaffinity(0))
    assert isinstance(facts.facts["memory"].value, int)
    assert "sse2" in str(facts.value("cpu")) or "asimd" in str(facts.value("cpu"))


def test_a_recording_of_this_machine_gives_the_same_verdicts(tmp_path: Path) -> None:
    for probe in ("system", "nvidia", "cpuid", "limits", "loader", "disks", "pythons"):
        collect(start_probes([probe], record=tmp_path), 10)
    live, replayed = verdicts_of(None), verdicts_of(tmp_path)
    differ = {name for name in live if live[name].finding.level != replayed[name].finding.level}
    # a recording is made by one Python, doctor run by another: the environments that run them differ
    assert {name for name in differ if not name.startswith("py.")} == set()


def test_recordings_name_nobody(tmp_path: Path) -> None:
    home = tmp_path / "home" / "alicia"
    (home / "src").mkdir(parents=True)
    variables = {**os.environ, "HOME": str(home), "TMPDIR": "/home/alicia/tmp", "LD_LIBRARY_PATH": "/home/alicia/lib"}
    for probe in OWN_PROBES:
        command = [sys.executable, "-I", "-S", ROOT / f"probes/{probe}.py", "--record", tmp_path / "kept"]
        subprocess.run(command, env=variables, cwd=home / "src", capture_output=True, check=True)
    said = "".join(path.read_text() for path in (tmp_path / "kept").rglob("*") if path.is_file())
    assert "alicia" not in said
    assert "/home/user" in said


def test_a_disk_that_hangs_costs_its_own_time_only() -> None:
    """Every look at a disk sleeps, as on a network disk that is gone: an answer all the same, with the reason."""
    code = "import sys, time; sys.path.insert(0, sys.argv.pop(1)); import disks, machine; "
    code += "disks.disk = lambda path: time.sleep(60); machine.main(disks.facts)"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-I", "-c", code, ROOT / "probes"], capture_output=True, check=True)
    assert time.monotonic() - started < 4
    (disks, *_) = json.loads(done.stdout)["facts"]
    assert {place["error"] for place in disks["value"].values()} == {"OSError: no answer within 0.8 s"}


REDACTED = (
    ("/home/alice/.venv/lib", "/home/user/.venv/lib"),
    ("http://bob:secret@proxy.corp:3128", "http://redacted@proxy.corp:3128"),
    ("GPU-1b3c5d7e-aaaa-bbbb-cccc-0123456789ab", "GPU-00000000-0000-0000-0000-892abea9d4d3"),
    ("Serial\t\t: 0000abc1", "Serial\t\t: redacted"),
    ("link/ether 04:42:1a:00:ff:10", "link/ether 00:00:00:00:00:00"),
    ("fe80::1ff:fe23:4567:890a", "::"),
    ('{"auth": "dXNlcjpwdw=="}', '{"auth": "redacted"}'),
    ("HF_TOKEN=hf_abcdefghijklmnop", "HF_TOKEN=redacted"),
    ("tcp://10.1.2.3:2376", "tcp://0.0.0.0:2376"),
    ("192.168.1.17", "0.0.0.0"),
)
KEPT = (
    "TensorRT 10.3.0.26 and 8.6.1.6",
    "nvidia_cudnn_cu12-9.3.0.75.dist-info",
    "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "0000:3b:00.0",
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023",
    "/usr/lib/x86_64-linux-gnu/libcuda.so.535.104.05",
    "Ubuntu 22.04.5 LTS",
)


def redacted(said: object) -> object:
    """What machine.py makes of a value; it is imported from its file, as probes do."""
    code = "import json, sys; sys.path.insert(0, sys.argv[1]); from machine import redacted; "
    code += "print(json.dumps(redacted(json.loads(sys.argv[2]))))"
    command = [sys.executable, "-I", "-S", "-c", code, str(ROOT / "probes"), json.dumps(said)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def test_redaction_takes_names_and_secrets_and_leaves_versions() -> None:
    assert redacted([before for before, _ in REDACTED]) == [after for _, after in REDACTED]
    assert redacted(list(KEPT)) == list(KEPT)
    assert redacted({"token": "abc", "/home/alice/x": 1}) == {"token": "redacted", "/home/user/x": 1}
    twice = redacted([after for _, after in REDACTED if "0000-" not in after])
    assert twice == [after for _, after in REDACTED if "0000-" not in after]
