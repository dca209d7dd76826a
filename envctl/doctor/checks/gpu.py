"""Is there a GPU, who has it, and (in a container) was it handed in? Most other GPU checks follow from these."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from envctl.doctor.check import GPU_ENGINES, Check, Facts, Finding, ok, skip

Rule = Callable[[Facts], Finding]
NO_GPU = "there is no NVIDIA GPU on this machine"
# how a distribution installs NVIDIA's driver and rebuilds what it boots from (first word of PRETTY_NAME)
# source: https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/ and the distributions' pages; second-hand
INSTALL = {
    "Ubuntu": ("sudo ubuntu-drivers install", "sudo update-initramfs -u"),
    "Debian": ("sudo apt-get install linux-headers-$(uname -r) nvidia-driver", "sudo update-initramfs -u"),
    "Fedora": ("sudo dnf install akmod-nvidia xorg-x11-drv-nvidia-cuda", "sudo dracut --force"),
    "Red": ("sudo dnf install nvidia-open", "sudo dracut --force"),
    "Rocky": ("sudo dnf install nvidia-open", "sudo dracut --force"),
    "AlmaLinux": ("sudo dnf install nvidia-open", "sudo dracut --force"),
    "Arch": ("sudo pacman -S nvidia-open nvidia-utils", "sudo mkinitcpio -P"),
    "openSUSE": ("sudo zypper install nvidia-open-driver-G06-signed-kmp-default", "sudo dracut --force"),
}
ANYWHERE = ("install NVIDIA's driver with your distribution's package manager", "rebuild the initramfs")


def bad(said: str, *evidence: str, fix: tuple[str, ...], root: bool = True, reboot: bool = False) -> Finding:
    """A failure that keeps every GPU engine from running."""
    return Finding(
        level="FAIL", said=said, evidence=evidence, affects=GPU_ENGINES, fix=fix, needs_root=root, needs_reboot=reboot
    )


def warn(said: str, *evidence: str, fix: tuple[str, ...], root: bool = True, reboot: bool = False) -> Finding:
    """Something that works now, but worse than it could or not for long."""
    return Finding(
        level="WARN", said=said, evidence=evidence, affects=GPU_ENGINES, fix=fix, needs_root=root, needs_reboot=reboot
    )


def info(said: str, *evidence: str, fix: tuple[str, ...] = ()) -> Finding:
    """Good to know, and no fault."""
    return Finding(level="INFO", said=said, evidence=evidence, fix=fix)


def on_wsl(facts: Facts) -> bool:
    """Whether this is WSL, where the driver is Windows'."""
    return bool(facts.get("wsl_gpu"))


def on_tegra(facts: Facts) -> bool:
    """Whether this is a Jetson, whose driver is part of its kernel."""
    return bool(facts.get("tegra_gpu"))


def has_gpu(facts: Facts) -> bool:
    """Whether an NVIDIA GPU can be expected to work here."""
    return bool(facts.need("nvidia_pci") or facts.get("driver") or on_tegra(facts) or on_wsl(facts))


def with_gpu(rule: Rule) -> Rule:
    """The rule, skipped on machines without an NVIDIA GPU."""

    @wraps(rule)
    def guarded(facts: Facts) -> Finding:
        return rule(facts) if has_gpu(facts) else skip(NO_GPU)

    return guarded


def with_driver(rule: Rule) -> Rule:
    """The rule, skipped without an NVIDIA GPU and where the driver is not a Linux PC's (WSL, Jetson)."""

    @wraps(rule)
    def guarded(facts: Facts) -> Finding:
        if not has_gpu(facts):
            return skip(NO_GPU)
        elsewhere = "WSL" if on_wsl(facts) else "Jetson" if on_tegra(facts) else ""
        return skip(f"on {elsewhere} the driver is of another kind") if elsewhere else rule(facts)

    return guarded


def install(facts: Facts) -> tuple[str, str]:
    """The commands of this distribution that install the driver and rebuild the initramfs."""
    return INSTALL.get(str(facts.get("os") or "").partition(" ")[0], ANYWHERE)


def for_debian(facts: Facts, *commands: str) -> tuple[str, ...]:
    """These commands where apt is, else the one that installs the driver as a whole."""
    first = str(facts.get("os") or "Debian").partition(" ")[0]
    return commands if first in ("Ubuntu", "Debian", "Pop!_OS", "Linux") else (install(facts)[0],)


def gpus(facts: Facts) -> list[dict[str, Any]]:
    """The GPUs that NVML lists, with what it says of each; none where it does not answer."""
    found: list[dict[str, Any]] = (facts.get("nvml") or {}).get("gpus", [])
    return found


def cuda_works(facts: Facts) -> bool:
    """Whether cuInit succeeded in a child."""
    return (facts.get("cuda") or {}).get("init") == 0


def pci(facts: Facts) -> Finding:
    """INFO where there is no NVIDIA GPU."""
    if on_tegra(facts):
        return ok(f"a Jetson: its GPU is part of the chip {facts.get('tegra_gpu').get('chip') or ''}".rstrip())
    if on_wsl(facts):
        return ok("WSL: the GPU comes through Windows, not over PCI", facts.shown("wsl_gpu"))
    count = facts.need("nvidia_pci")
    if not count and not facts.get("driver"):
        return info("no NVIDIA GPU is on the PCI bus: engines run on the CPU here", facts.shown("nvidia_pci"))
    return ok(f"{count} NVIDIA GPU{'s' if count != 1 else ''} on the PCI bus", facts.shown("nvidia_pci"))


@with_driver
def bound(facts: Facts) -> Finding:
    """FAIL where another kernel driver has the GPU."""
    devices = [it for it in facts.need("nvidia_devices") if it["kind"] == "gpu"]
    others = [it for it in devices if it["driver"] not in ("nvidia", None)]
    shown = [f"/sys/bus/pci/devices/{it['slot']}/driver = {it['driver']}" for it in others]
    if any(it["driver"] in ("nouveau", "nova_core") for it in others):
        return _taken_by_nouveau(facts, shown)
    if others:
        said = f"{len(others)} of {len(devices)} NVIDIA GPUs are held by {others[0]['driver']}, for a virtual machine"
        fix = (
            f"sudo driverctl unset-override {others[0]['slot']}",
            "or take its vfio-pci.ids out of the kernel command line",
        )
        found = bad if len(others) == len(devices) else warn
        return found(said, *shown, fix=fix, reboot=True)
    if facts.get("driver") and devices and not any(it["driver"] for it in devices) and not gpus(facts):
        return bad("the driver is loaded, but took no GPU", *_telling(facts), fix=("sudo dmesg | grep NVRM",))
    return ok("no other kernel driver holds the GPU", facts.shown("nvidia_devices"))


def _taken_by_nouveau(facts: Facts, shown: list[str]) -> Finding:
    driver, rebuild = install(facts)
    keep_out = (
        "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' | sudo tee /etc/modprobe.d/blacklist-nouveau.conf"
    )
    installed = facts.get("driver_packages") or facts.get("driver_run_file")
    steps = (*(() if installed else (driver,)), keep_out, rebuild, "sudo reboot")
    said = "the free driver nouveau holds the GPU; CUDA needs NVIDIA's"
    return bad(said, *shown, fix=steps, reboot=True)


def _telling(facts: Facts) -> list[str]:
    lines = (facts.get("kernel_log") or {}).get("lines", [])
    return [f"/dev/kmsg: {line}" for line in lines[-3:]]


@with_gpu
def not_handed_in(facts: Facts) -> Finding:
    """FAIL in a container that was started without its GPU."""
    if not facts.need("inside_container"):
        return skip("not in a container")
    nodes = facts.need("nvidia_nodes")
    library = (facts.get("libraries") or {}).get("libcuda.so.1", {})
    if "/dev/nvidiactl" not in nodes and "/dev/dxg" not in nodes and not on_tegra(facts):
        fix: tuple[str, ...] = ("docker run --gpus all …", "or docker run --device nvidia.com/gpu=all …")
        said = "this container was started without a GPU; the machine has one"
        return bad(said, facts.shown("nvidia_pci"), "/dev/nvidiactl is not there", fix=fix, root=False)
    if "path" not in library:
        said = "this container has the GPU's device nodes, but not the driver's libraries"
        fix = ("docker run -e NVIDIA_DRIVER_CAPABILITIES=compute,utility --gpus all …",)
        return bad(said, f"dlopen = {library.get('error')}", fix=fix, root=False)
    return ok("the container was given a GPU", facts.shown("nvidia_nodes"))


CHECKS: tuple[Check, ...] = (
    Check(id="gpu.pci", title="GPU on the bus", rule=pci, source="https://docs.kernel.org/PCI/sysfs-pci.html"),
    Check(
        id="gpu.bound",
        title="GPU bound to its driver",
        rule=bound,
        after=("gpu.pci",),
        source="https://docs.nvidia.com/cuda/cuda-installation-guide-linux/",
    ),
    Check(
        id="cuda.noinject",
        title="GPU handed to the container",
        rule=not_handed_in,
        source="https://github.com/bigstack-oss/cubecos/issues/312",
    ),
)
