"""Faults of what a machine has too little of, or keeps shut: memory, threads, limits, disk."""

from __future__ import annotations

from typing import Any

from tests.broken_hosts import GB, Copy, Fault

HOME = "/home/user"


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
