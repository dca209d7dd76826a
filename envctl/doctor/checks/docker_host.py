"""What Docker's host gives to containers: storage, limits, disk, shared memory, access control (ids dk.*)."""

from __future__ import annotations

from envctl.doctor.check import Check, Facts, Finding, Level, ok, skip
from envctl.doctor.checks.disk import IMAGES
from envctl.doctor.checks.docker import CONTAINERS, RESTART, RUNNER, gpu_here, no_engine
from envctl.doctor.checks.sizes import ROOM

PULLS = ("image pulls", "--runner docker")
MIB, GIB = 1 << 20, 1 << 30
# images of deep-learning frameworks unpack to 10-25 GB (second-hand: NVIDIA-NeMo/Speech issue 1029)
DISK_WARN, DISK_FAIL, INODES_WARN = 20 * GIB, 2 * GIB, 0.05
# what Docker gives a container unless it is told otherwise: docs.docker.com/reference/cli/docker/container/run
SHM_DEFAULT = 64 * MIB


def storage(facts: Facts) -> Finding:
    """dk.storage: images are kept in layers, not as whole copies."""
    info = facts.need("docker_info")
    shown = f"/info = {info['storage']} on {info['backing'] or '?'}, d_type {info['d_type'] or '?'}"
    if info["storage"] == "vfs":
        said = "storage driver vfs copies every layer whole: slow, and many times the disk"
        fix = ('set "storage-driver": "overlay2" in /etc/docker/daemon.json', RESTART)
        return Finding(level="WARN", said=said, evidence=(shown,), affects=PULLS, fix=fix, needs_root=True)
    if info["d_type"] == "false":
        said = "the file system under Docker's data has no d_type (XFS made with ftype=0): overlay2 breaks there"
        fix = ("move data-root in /etc/docker/daemon.json to ext4, or to XFS made with mkfs.xfs -n ftype=1", RESTART)
        return Finding(level="FAIL", said=said, evidence=(shown,), affects=PULLS, fix=fix, needs_root=True)
    return ok(f"storage driver {info['storage']}", shown)


def limits(facts: Facts) -> Finding:
    """dk.limits: the caps on memory and processes that envctl gives its workers are kept."""
    info = facts.need("docker_info")
    shown = f"/info = cgroup v{info['cgroup_version'] or '?'}, driver {info['cgroup_driver']}"
    missing = [what for what, key in (("memory", "memory_limit"), ("processes", "pids_limit")) if info[key] is False]
    if not missing:
        return ok("caps on memory and processes are kept", shown)
    rootless = facts.get("docker_flavour") == "rootless"
    fix = (
        ("sudo mkdir -p /etc/systemd/system/user@.service.d", "delegate cpu, memory and pids in its delegate.conf")
        if rootless
        else ("add cgroup_enable=memory swapaccount=1 to the kernel's command line (on Debian: GRUB_CMDLINE_LINUX)",)
    )
    return Finding(
        level="WARN", said=f"this engine cannot cap {' and '.join(missing)}: a conversion can eat the whole machine",
        evidence=(shown, *(f"/info = no {it} limit" for it in missing)), affects=RUNNER, fix=fix, needs_root=True,
        needs_reboot=not rootless,
    )  # fmt: skip


def disk(facts: Facts) -> Finding:
    """dk.disk: room for images where Docker keeps them."""
    if str(facts.get("docker_flavour")).startswith("desktop"):
        return skip("Docker Desktop keeps images in a disk of its own")
    room, root = facts.need("docker_disk"), facts.need("docker_info")["root"]
    free = f"{room['free'] / GIB:.1f} GiB"
    shown = f"{root} = {free} and {room['inodes_free']} of {room['inodes']} inodes free"
    short = room["inodes"] and room["inodes_free"] < INODES_WARN * room["inodes"]
    if room["free"] >= DISK_WARN and not short:
        return ok(f"{free} free for images", shown)
    said = f"few inodes are left under {root}" if room["free"] >= DISK_WARN else f"{free} are left under {root}"
    fix = ("docker system prune -a   # removes images that no container uses", f"move data-root off {root}")
    full = room["free"] < DISK_FAIL or room["inodes_free"] == 0 < room["inodes"]
    if not full and not short and _told_by_disk(facts, room):
        return skip(f"{free} are left under {root}: the check `disk` speaks of that disk")
    level: Level = "FAIL" if full else "WARN"
    said += "; an image of a deep-learning framework unpacks to 10-25 GB"
    return Finding(level=level, said=said, evidence=(shown,), affects=PULLS, fix=fix)


def _told_by_disk(facts: Facts, room: dict[str, int]) -> bool:
    """Whether the check `disk` warns of the same file system, known by its size and its inodes."""
    places = {name: it for name, it in (facts.get("disks") or {}).items() if not it["error"] and name != IMAGES}
    same = {name: it for name, it in places.items() if (it["total"], it["inodes"]) == (room["size"], room["inodes"])}
    return any(it["free"] < ROOM[name][1] for name, it in same.items())


def shared_memory(facts: Facts) -> Finding:
    """dk.shm: processes of one container can share more than Docker's 64 MiB."""
    if (facts.get("container_kind") or "none") == "none":
        return skip("this is no container; envctl's own containers need none")
    size = facts.need("shm_size")
    shown = f"/dev/shm = {size / MIB:.0f} MiB"
    if size > SHM_DEFAULT:
        return ok("shared memory is larger than Docker's default", shown)
    said = "this container has Docker's default of shared memory: data loaders and NCCL end with a bus error"
    fix = ("docker run --shm-size=8g …   # or --ipc=host",)
    return Finding(level="WARN", said=said, evidence=(shown,), affects=("data loaders", "NCCL"), fix=fix)


def selinux(facts: Facts) -> Finding:
    """dk.selinux: SELinux lets containers at the GPU's device nodes."""
    found = facts.need("selinux")
    shown = f"/sys/fs/selinux = {found['mode']}, container_use_devices = {found['container_use_devices']}"
    if found["mode"] != "enforcing" or no_engine(facts) or not gpu_here(facts):
        return ok(f"SELinux is {found['mode']}", shown)
    confined = "selinux" in facts.need("docker_info")["security"] or facts.need("docker_flavour") == "podman"
    if found["container_use_devices"] or not confined:
        return ok("SELinux lets containers use devices", shown)
    fix = ("sudo setsebool -P container_use_devices 1", "or: --security-opt label=disable")
    said = "SELinux is enforcing and containers are confined: they are denied the GPU's device nodes"
    return Finding(level="WARN", said=said, evidence=(shown,), affects=CONTAINERS, fix=fix, needs_root=True)


CHECKS: tuple[Check, ...] = (
    Check(
        id="dk.storage", title="Docker's storage", rule=storage, after=("dk.socket",),
        source="https://docs.docker.com/engine/storage/drivers/select-storage-driver/",
    ),
    Check(
        id="dk.limits", title="Docker's limits", rule=limits, after=("dk.socket",),
        source="https://docs.docker.com/engine/security/rootless/tips",
    ),
    Check(
        id="dk.disk", title="Room for images", rule=disk, after=("dk.socket", "disk"),
        source="https://github.com/NVIDIA-NeMo/Speech/issues/1029",
    ),
    Check(
        id="dk.shm", title="Shared memory", rule=shared_memory,
        source="https://github.com/msr-fiddle/pipedream/issues/28",
    ),
    Check(
        id="dk.selinux", title="SELinux", rule=selinux, after=("dk.socket",),
        source="https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/cdi-support.html",
    ),
)  # fmt: skip
