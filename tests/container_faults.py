"""How machines with containers break: each fault, what must be said of it, and what must mend it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.broken_host import BrokenHost

A10, PODMAN, ROOTLESS = "ubuntu22.04-docker28-a10", "fedora42-podman-rtx4090", "ubuntu24.04-rootless-l4"
WSL, JETSON, NONE = "wsl2-docker-desktop", "jetson36-docker27", "debian12-no-engine"
HEALTHY = (A10, PODMAN, ROOTLESS, WSL, JETSON, NONE)
SOCKET = "unix:///var/run/docker.sock"
OTHER = "unix:///run/user/1000/docker.sock"
STARTED = 1795200000  # when the recorded daemons began
TOOLKIT = "/etc/nvidia-container-runtime/config.toml"
LIB = "/usr/lib/x86_64-linux-gnu"
# NVIDIA_REQUIRE_CUDA of CUDA's own images: 12.8 leaves out consumer boards, 12.2 does not name driver 535
CUDA_128 = "cuda>=12.8 " + " ".join(
    f"brand={brand},driver>={driver},driver<{driver + 1}"
    for driver in (470, 535)
    for brand in ("unknown", "grid", "tesla", "nvidia", "quadro", "quadrortx", "nvidiartx")
)


@dataclass(frozen=True)
class Fault:
    """How to break a machine, and what must be said of it."""

    host: str
    breaks: Callable[[BrokenHost], object]
    check: str
    level: str
    said: str
    fix: str
    folded: tuple[str, ...] = ()  # checks that must stand under this one


def sockets(*states: tuple[str, str, str | None]) -> list[dict[str, str | None]]:
    return [{"address": address, "state": state, "detail": detail} for address, state, detail in states]


def off(host: BrokenHost, state: str = "refused", detail: str | None = "Connection refused") -> None:
    """The engine does not answer."""
    host.answers("docker-sockets", sockets((SOCKET, state, detail), (OTHER, "absent", None)))


def stopped_by_settings(host: BrokenHost) -> None:
    host.writes("/etc/docker/daemon.json", '{"runtimes": {"nvidia": {"path": "nvidia-container-runtime"}},}')
    off(host)


def denied(host: BrokenHost, listed: bool, effective: bool) -> None:
    off(host, "denied", "Permission denied")
    host.answers("docker-group", {"exists": True, "listed": listed, "effective": effective})


def wrong_host(host: BrokenHost) -> None:
    named = "unix:///tmp/gone.sock"
    host.answers("docker-client", sdk=named, cli=named, chosen_by="DOCKER_HOST")
    host.answers("docker-sockets", sockets((named, "absent", None), (SOCKET, "answers", None)))


def rootless_unseen(host: BrokenHost) -> None:
    host.answers("docker-client", sdk=SOCKET, cli=OTHER, chosen_by="context", context="rootless")
    host.answers("docker-sockets", sockets((SOCKET, "absent", None), (OTHER, "answers", None)))


def client_only(host: BrokenHost) -> None:
    off(host, "absent", None)


def podman_without_api(host: BrokenHost) -> None:
    host.answers("docker-client", sdk=SOCKET, cli=SOCKET, chosen_by="default")
    host.answers("docker-sockets", sockets((SOCKET, "absent", None)))


def without_toolkit(host: BrokenHost) -> None:
    host.loses(*(path for path in host.recorded["stat"] if path.startswith("/usr/bin/nvidia-c")))
    host.loses("/etc/cdi/nvidia.yaml", "/etc/nvidia-container-runtime/config.toml")
    host.loses(f"{LIB}/libnvidia-container.so.1")
    host.writes("/etc/docker/daemon.json", "{}")
    runtimes_live(host, "runc")


def runtimes_live(host: BrokenHost, *names: str) -> None:
    paths = {"nvidia": "nvidia-container-runtime", "runc": "runc"}
    host.answers("docker:/info", runtimes={name: paths[name] for name in names})


def toolkit_release(host: BrokenHost, version: str) -> None:
    for path in host.recorded["links"]:
        if path.endswith("libnvidia-container.so.1"):
            host.recorded["links"][path] = f"libnvidia-container.so.{version}"


def old_ldconfig(host: BrokenHost) -> None:
    toolkit_release(host, "1.13.5")
    host.loses("/sbin/ldconfig.real")


def installed_late(host: BrokenHost) -> None:
    host.writes("/etc/docker/daemon.json", "{}")
    runtimes_live(host, "runc")
    host.stats("/var/lib/dpkg/info/nvidia-container-toolkit.list", mtime=STARTED + 60)


def cli_says(words: str) -> Callable[[BrokenHost], object]:
    said = {"code": 1, "out": "", "err": f"nvidia-container-cli: {words}\n"}
    return lambda host: host.answers("nvidia-container-cli info", said)


def unlinked(host: BrokenHost) -> None:
    host.loses(*(path for path in host.recorded["links"] if path.startswith("/dev/char/")))


def driver_upgraded(host: BrokenHost) -> None:
    """The driver is newer than the CDI specification, whose libraries are gone."""
    old, new = ("580.95.05", "580.105.08") if PODMAN in host.name else ("535.161.08", "535.183.01")
    host.replaces("/proc/driver/nvidia/version", old, new)
    host.loses(*(path for path in host.recorded["stat"] if path.endswith(f".so.{old}")))


def without_devices(host: BrokenHost) -> None:
    host.writes("/etc/cdi/nvidia.yaml", "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: []\n")


def two_specifications(host: BrokenHost) -> None:
    host.writes("/etc/cdi/nvidia-old.yaml", (host.folder / "etc/cdi/nvidia.yaml").read_text())


def without_specification(host: BrokenHost) -> None:
    host.loses("/etc/cdi/nvidia.yaml")


def without_anything(host: BrokenHost) -> None:
    host.loses("/etc/cdi/nvidia.yaml", "/usr/bin/nvidia-ctk", "/usr/bin/nvidia-cdi-hook")


def in_container(host: BrokenHost) -> None:
    host.stats("/.dockerenv", mode="-rwxr-xr-x")
    host.answers("statvfs:/dev/shm", 64 << 20)


def confined(host: BrokenHost) -> None:
    host.writes("/sys/fs/selinux/booleans/container_use_devices", "0 0")


def asks(text: str) -> Callable[[BrokenHost], object]:
    variables = {"NVIDIA_REQUIRE_CUDA": text, "NVIDIA_VISIBLE_DEVICES": "all"}
    return lambda host: host.answers("docker-image", environment=variables)


def geforce(host: BrokenHost) -> None:
    """A consumer board on a branch that the image accepts for data-centre boards only."""
    asks(CUDA_128)(host)
    gpu = {**host.recorded["calls"]["nvml"]["value"]["gpus"][0], "name": "NVIDIA GeForce RTX 3090", "brand": 5}
    host.answers("nvml", gpus=[gpu])


def environment(host: BrokenHost, proxies: list[str], bundles: dict[str, str]) -> None:
    host.answers("network_environment", {"proxies": proxies, "bundles": bundles})


def proxy_not_loaded(host: BrokenHost) -> None:
    environment(host, ["https_proxy"], {})
    drop_in = "/etc/systemd/system/docker.service.d/proxy.conf"
    host.writes(drop_in, '[Service]\nEnvironment="HTTPS_PROXY=http://proxy:3128"\n')


def log_in(**changes: object) -> Callable[[BrokenHost], object]:
    return lambda host: host.answers("registry_login", **changes)


def room(free: int, inodes_free: int) -> Callable[[BrokenHost], object]:
    return lambda host: host.answers("statvfs:/var/lib/docker", free=free, inodes_free=inodes_free)


FAULTS = {
    "settings with a comma too many": Fault(
        A10, stopped_by_settings, "dk.config", "FAIL", "not valid JSON", "sudoedit /etc/docker/daemon.json",
        ("dk.socket", "dk.runtime"),
    ),
    "hosts set twice": Fault(
        A10, lambda it: it.writes("/etc/docker/daemon.json", '{"hosts": ["tcp://127.0.0.1:2375"]}'),
        "dk.config", "WARN", "hosts: set in", "systemctl edit docker",
    ),
    "default runtime that is not there": Fault(
        A10, lambda it: it.writes("/etc/docker/daemon.json", '{"default-runtime": "nvidia"}'),
        "dk.config", "WARN", "default runtime nvidia is not among", "nvidia-ctk runtime configure",
    ),
    "hosts set twice, and the daemon stopped": Fault(
        A10, lambda it: (it.writes("/etc/docker/daemon.json", '{"hosts": ["fd://"]}'), off(it)),
        "dk.config", "FAIL", "hosts: set in", "systemctl edit docker", ("dk.socket",),
    ),
    "daemon stopped": Fault(
        A10, off, "dk.socket", "FAIL", "not running", "sudo systemctl start docker",
        ("dk.version", "dk.flavour", "dk.runtime", "dk.cgroup", "dk.storage", "dk.disk", "net.proxy"),
    ),
    "user not in the group": Fault(
        A10, lambda it: denied(it, False, False), "dk.socket", "FAIL", "not in the group docker", "usermod -aG docker",
    ),
    "group not yet effective": Fault(
        A10, lambda it: denied(it, True, False), "dk.socket", "FAIL", "session began before", "newgrp docker",
    ),
    "socket of another group": Fault(
        A10, lambda it: denied(it, True, True), "dk.socket", "FAIL", "does not belong to the group", "docker.socket",
    ),
    "DOCKER_HOST of long ago": Fault(A10, wrong_host, "dk.socket", "FAIL", "nothing answers", "unset DOCKER_HOST"),
    "rootless engine that envctl does not see": Fault(
        A10, rootless_unseen, "dk.socket", "FAIL", "an engine answers at", f"export DOCKER_HOST={OTHER}",
        ("dk.context",),
    ),
    "daemon that takes no connections": Fault(
        A10, lambda it: off(it, "silent", "no connection"), "dk.socket", "FAIL", "hangs", "systemctl restart docker",
    ),
    "daemon that does not answer": Fault(
        A10, lambda it: it.fails("docker:/version", "timeout: timed out"), "dk.socket", "FAIL", "does not answer",
        "journalctl -u docker",
    ),
    "daemon that systemd could not start": Fault(
        A10, lambda it: off(it, "asleep", "failed"), "dk.socket", "FAIL", "not running", "journalctl -u docker",
    ),
    "docker program alone in WSL": Fault(WSL, client_only, "dk.socket", "FAIL", "integration", "WSL integration"),
    "podman without its socket": Fault(
        PODMAN, podman_without_api, "dk.socket", "WARN", "Docker API is off", "podman.socket",
    ),
    "context that envctl does not follow": Fault(
        A10, lambda it: it.answers("docker-client", cli=OTHER, chosen_by="context", context="rootless"),
        "dk.context", "WARN", "images differ", f"export DOCKER_HOST={OTHER}",
    ),
    "context that was removed": Fault(
        A10, lambda it: it.answers("docker-client", cli="", chosen_by="context", context="old"),
        "dk.context", "WARN", "does not exist", "docker context use default",
    ),
    "Docker of 2018": Fault(
        A10, lambda it: it.answers("docker:/version", version="18.09.9"), "dk.version", "FAIL", "19.03", "docker-ce",
    ),
    "Docker as a snap": Fault(
        A10, lambda it: it.answers("docker:/info", root="/var/snap/docker/common/var-lib-docker"),
        "dk.flavour", "FAIL", "snap", "snap remove docker",
    ),
    "Docker Desktop on Linux": Fault(
        A10, lambda it: it.answers("docker:/info", os="Docker Desktop", kernel="6.10.14-linuxkit"),
        "dk.flavour", "FAIL", "virtual machine", "docker context use default",
    ),
    "no toolkit": Fault(
        A10, without_toolkit, "dk.toolkit", "FAIL", "not installed", "apt-get install -y nvidia-container-toolkit",
        ("dk.ldconfig", "dk.runtime", "dk.cli_info", "dk.cgroup", "dk.reload_risk", "dk.cdi"),
    ),
    "toolkit without cgroup v2": Fault(
        A10, lambda it: toolkit_release(it, "1.7.0"), "dk.toolkit", "FAIL", "cgroup v2", "--only-upgrade",
    ),
    "podman without toolkit": Fault(
        PODMAN, without_anything, "dk.toolkit", "FAIL", "not installed", "nvidia-ctk cdi generate", ("dk.cdi",),
    ),
    "ldconfig of another distribution": Fault(
        A10, old_ldconfig, "dk.ldconfig", "FAIL", "/sbin/ldconfig.real, which does not exist",
        "ldconfig=@/sbin/ldconfig ",
    ),
    "runtime configured, daemon not restarted": Fault(
        A10, lambda it: runtimes_live(it, "runc"), "dk.runtime", "WARN", "began before", "systemctl restart docker",
    ),
    "toolkit installed under a running daemon": Fault(
        A10, installed_late, "dk.runtime", "FAIL", "after dockerd started", "systemctl restart docker",
    ),
    "runtime's program removed": Fault(
        A10, lambda it: it.loses("/usr/bin/nvidia-container-runtime"), "dk.runtime", "FAIL", "does not exist",
        "install -y nvidia-container-toolkit",
    ),
    "Jetson without runtime": Fault(
        JETSON, lambda it: (it.writes("/etc/docker/daemon.json", "{}"), runtimes_live(it, "runc")),
        "dk.runtime", "FAIL", "Jetson", "nvidia-ctk runtime configure",
    ),
    "libraries newer than the module": Fault(
        A10, cli_says("initialization error: nvml error: driver/library version mismatch"),
        "dk.cli_info", "FAIL", "do not fit", "sudo reboot",
    ),
    "no NVML library": Fault(
        A10, cli_says("initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object file"),
        "dk.cli_info", "FAIL", "user-space libraries are missing", "sudo ldconfig",
    ),
    "device nodes shut": Fault(
        A10, cli_says("initialization error: nvml error: insufficient permissions"),
        "dk.cli_info", "FAIL", "may not be opened", "nvidia-modprobe",
    ),
    "something new in nvidia-container-cli": Fault(
        A10, cli_says("detection error: who knows"), "dk.cli_info", "FAIL", "fails", "-d /dev/tty info",
    ),
    "rootless, and cgroups to be set": Fault(
        ROOTLESS, lambda it: it.replaces(TOOLKIT, "no-cgroups = true", ""), "dk.cgroup", "FAIL", "rootless",
        "no-cgroups --in-place",
    ),
    "rootful, and cgroups left alone": Fault(
        A10, lambda it: it.replaces(TOOLKIT, "#no-cgroups = false", "no-cgroups = true"), "dk.cgroup", "FAIL",
        "may not open it", "no-cgroups=false",
    ),
    "no links for systemd": Fault(A10, unlinked, "dk.reload_risk", "WARN", "daemon-reload", "create-dev-char-symlinks"),
    "CDI of the driver before": Fault(
        PODMAN, driver_upgraded, "dk.cdi", "FAIL", "is for driver 580.95.05, and 580.105.08", "nvidia-ctk cdi generate",
    ),
    "CDI of the driver before, beside the hook": Fault(
        A10, driver_upgraded, "dk.cdi", "WARN", "is for driver 535.161.08", "nvidia-ctk cdi generate",
    ),
    "CDI for root only": Fault(
        PODMAN, lambda it: it.stats("/etc/cdi/nvidia.yaml", mode="-rw-------"), "dk.cdi", "FAIL", "cannot be read",
        "chmod a+r /etc/cdi/nvidia.yaml",
    ),
    "CDI cut off": Fault(
        PODMAN, lambda it: it.writes("/etc/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n  - x"), "dk.cdi", "FAIL",
        "not understood", "nvidia-ctk cdi generate",
    ),
    "CDI without devices": Fault(PODMAN, without_devices, "dk.cdi", "FAIL", "no device", "nvidia-ctk cdi generate"),
    "CDI hook gone": Fault(
        PODMAN, lambda it: it.loses("/usr/bin/nvidia-cdi-hook"), "dk.cdi", "FAIL", "/usr/bin/nvidia-cdi-hook",
        "nvidia-ctk cdi generate",
    ),
    "CDI with a node that is gone": Fault(
        PODMAN, lambda it: it.loses("/dev/nvidia0"), "dk.cdi", "FAIL", "/dev/nvidia0", "nvidia-ctk cdi generate",
    ),
    "CDI twice": Fault(PODMAN, two_specifications, "dk.cdi", "FAIL", "same device", "sudo rm /etc/cdi/nvidia-old.yaml"),
    "no CDI for podman": Fault(
        PODMAN, without_specification, "dk.cdi", "FAIL", "no CDI specification", "nvidia-ctk cdi generate",
    ),
    "layers as whole copies": Fault(
        A10, lambda it: it.answers("docker:/info", storage="vfs"), "dk.storage", "WARN", "vfs", "overlay2",
    ),
    "XFS without d_type": Fault(
        A10, lambda it: it.answers("docker:/info", backing="xfs", d_type="false"), "dk.storage", "FAIL", "ftype=0",
        "data-root",
    ),
    "no memory cap": Fault(
        A10, lambda it: it.answers("docker:/info", memory_limit=False), "dk.limits", "WARN", "cap memory",
        "cgroup_enable=memory",
    ),
    "disk nearly full": Fault(A10, room(9 << 30, 10**7), "dk.disk", "WARN", "9.0 GiB are left", "system prune"),
    "disk full": Fault(A10, room(1 << 30, 10**7), "dk.disk", "FAIL", "1.0 GiB are left", "system prune"),
    "no inodes": Fault(A10, room(90 << 30, 0), "dk.disk", "FAIL", "few inodes", "system prune"),
    "small shared memory": Fault(A10, in_container, "dk.shm", "WARN", "bus error", "--shm-size"),
    "SELinux shuts devices": Fault(PODMAN, confined, "dk.selinux", "WARN", "denied", "container_use_devices"),
    "image for Arm": Fault(
        A10, lambda it: it.answers("docker-image", platform="linux/arm64"), "img.arch", "FAIL", "linux/arm64",
        "--platform linux/amd64",
    ),
    "image for x86 on a Jetson": Fault(
        JETSON, lambda it: it.answers("docker-image", platform="linux/amd64"), "img.arch", "FAIL", "linux/amd64", "l4t",
    ),
    "image that asks for more": Fault(
        A10, asks("cuda>=12.8"), "img.require", "FAIL", "cuda>=12.8", "a driver that offers CUDA 12.8",
    ),
    "image that takes servers' boards only": Fault(
        A10, geforce, "img.require", "FAIL", "offers CUDA 12.2", "older tag",
    ),
    "image with nonsense": Fault(A10, asks("cuda>12,gpu=1"), "img.require", "FAIL", "refuse", "NVIDIA_DISABLE_REQUIRE"),
    "image without compute": Fault(
        A10,
        lambda it: it.answers(
            "docker-image",
            environment={"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "graphics,utility"},
        ),
        "img.capabilities", "WARN", "libcuda", "compute,utility",
    ),
    "driver in the image": Fault(
        A10, lambda it: it.answers("docker-image", driver_files=["libcuda.so.470.57.02"]), "img.driverfiles", "WARN",
        "baked", "rebuild",
    ),
    "driver in the image, in WSL": Fault(
        WSL,
        lambda it: it.answers("docker-image", {"driver_files": ["libcuda.so.470.57.02"], "platform": "linux/amd64"}),
        "img.driverfiles", "FAIL", "baked", "rebuild",
    ),
    "image of 2021": Fault(
        A10, lambda it: it.answers("docker-image", created="2021-08-01T00:00:00Z"), "img.age", "WARN", "another key",
        "--pull",
    ),
    "proxy of the user only": Fault(
        A10, lambda it: environment(it, ["https_proxy"], {}), "net.proxy", "WARN", "does not", "proxies",
    ),
    "proxy not loaded": Fault(A10, proxy_not_loaded, "net.proxy", "WARN", "began before", "daemon-reload"),
    "certificate bundle gone": Fault(
        A10, lambda it: environment(it, [], {"REQUESTS_CA_BUNDLE": "absent"}), "net.ca", "FAIL", "does not exist",
        "export REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt",
    ),
    "certificate never installed": Fault(
        A10, lambda it: it.answers("own_certificates", count=1, not_installed=1), "net.own_ca", "WARN",
        "never installed", "update-ca-certificates",
    ),
    "certificate newer than the daemon": Fault(
        A10, lambda it: it.answers("own_certificates", count=1, made=STARTED + 9), "net.own_ca", "WARN", "x509",
        "restart docker",
    ),
    "logins of root": Fault(A10, log_in(state="unreadable"), "reg.auth", "WARN", "another user", "chown"),
    "logins that are no JSON": Fault(A10, log_in(state="invalid: x"), "reg.auth", "FAIL", "not valid", "json.tool"),
    "helper of another Docker": Fault(
        A10, log_in(state="read", helpers={"desktop": False}), "reg.auth", "FAIL", "docker-credential-desktop",
        'remove "credsStore": "desktop"',
    ),
}  # fmt: skip
