"""The kernel driver: is it loaded, why not, will it be after the next boot, and do its parts fit together?"""

from __future__ import annotations

import re
from typing import Any

from envctl.doctor.check import Check, Facts, Finding, ok, skip
from envctl.doctor.checks.gpu import bad, cuda_works, for_debian, info, install, warn, with_driver

REFUSED = re.compile(r"Key was rejected by service|Required key not available|PKCS#7 signature not signed", re.I)
# what the driver says of a GPU that it does not take: words, their meaning, the flavour that does (None: neither)
# source: https://github.com/NVIDIA/open-gpu-kernel-modules/issues/322 and 393; the last one second-hand
COMPLAINTS = (
    (
        r"requires use of the NVIDIA open kernel modules",
        "is proprietary; this GPU works with the open one only",
        "-open",
    ),
    (r"not supported by open|does not include the required GPU", "is open; this GPU is too old for it", ""),
    (r"not supported by the\b|NVIDIA [\d.x]+ Legacy|No NVIDIA GPU found", "does not support this GPU", None),
)
ENROL = (
    "sudo mokutil --import /var/lib/shim-signed/mok/MOK.der",
    "sudo reboot  # choose «Enroll MOK» at the blue screen",
)
NVML_MISMATCH = 18  # NVML_ERROR_LIB_RM_VERSION_MISMATCH, nvml.h


def log_says(facts: Facts, pattern: str | re.Pattern[str]) -> list[str]:
    """The lines of the kernel's log that match, as evidence."""
    lines = (facts.get("kernel_log") or {}).get("lines", [])
    return [f"/dev/kmsg: {line}" for line in lines if re.search(pattern, line)][-3:]


def on_disk(facts: Facts, which: str) -> dict[str, Any] | None:
    """What lies on disk for the running or the newest kernel; None where that is not known."""
    kernel = (facts.get("kernels") or {}).get(which)
    found: dict[str, Any] | None = (facts.get("nvidia_modules") or {}).get(kernel)
    return found


@with_driver
def secure_boot(facts: Facts) -> Finding:
    """FAIL where Secure Boot keeps the module out."""
    on = facts.need("secure_boot")
    if not on or facts.get("driver"):
        return ok(f"Secure Boot is {'on, and the driver is loaded' if on else 'off'}", facts.shown("secure_boot"))
    signer = (facts.get("nvidia_module_info") or {}).get("signer")
    keys = facts.get("enrolled_keys")
    refused = log_says(facts, REFUSED)
    unknown = keys is None or (signer is None and not on_disk_files(facts))
    if not refused and (unknown or _known(signer, keys)):
        said = "Secure Boot is on: a driver that is built here must be signed with an enrolled key"
        return info(said, facts.shown("secure_boot"))
    said = f"Secure Boot keeps the NVIDIA module out: {'its key (' + signer + ')' if signer else 'it'} is not enrolled"
    return bad(said, facts.shown("secure_boot"), *refused, fix=ENROL, reboot=True)


def _known(signer: str | None, keys: list[str]) -> bool:
    """Keys of distributions are trusted through shim and are not in the owner's list."""
    distribution = re.search(r"Canonical|Debian|Fedora|Red Hat|SUSE|Rocky|AlmaLinux|Oracle", signer or "")
    return bool(signer) and (bool(distribution) or signer in keys)


def on_disk_files(facts: Facts) -> list[str]:
    """The nvidia module's files for the running kernel."""
    return list((on_disk(facts, "running") or {}).get("files", []))


@with_driver
def loaded(facts: Facts) -> Finding:
    """FAIL, with the cause, where no NVIDIA kernel module is loaded."""
    if facts.get("driver"):
        kind = "open" if facts.get("driver_open") else "proprietary"
        return ok(f"driver {facts.get('driver')} ({kind} kernel module) is loaded", facts.shown("driver"))
    said, fix, reboot = _why_not_loaded(facts)
    kernel = (facts.get("kernels") or {}).get("running")
    evidence = (facts.shown("driver"), f"module files for {kernel} = {on_disk_files(facts)}", *log_says(facts, "NVRM"))
    return bad(f"no NVIDIA driver is loaded: {said}", *evidence, fix=fix, reboot=reboot)


def _why_not_loaded(facts: Facts) -> tuple[str, tuple[str, ...], bool]:
    kernel = (facts.get("kernels") or {}).get("running") or "$(uname -r)"
    banned = (facts.get("modprobe_blacklist") or {}).get("nvidia", [])
    _, rebuild = install(facts)
    if facts.get("prime") in ("intel", "off"):
        return "prime-select has switched it off", ("sudo prime-select nvidia", "sudo reboot"), True
    if banned and on_disk_files(facts):
        return f"{banned[0]} keeps it out", (f"sudo rm {banned[0]}", rebuild, "sudo reboot"), True
    if on_disk_files(facts):
        return "its module is there, but was not loaded", ("sudo modprobe nvidia", "sudo dmesg | grep NVRM"), False
    if facts.get("driver_packages") or facts.get("driver_run_file"):
        return f"its module was not built for this kernel ({kernel})", build_for(facts, kernel), False
    return "it is not installed", (install(facts)[0], "sudo reboot"), True


def build_for(facts: Facts, kernel: str) -> tuple[str, ...]:
    """The commands that make the module for a kernel."""
    packages: list[str] = facts.get("driver_packages") or []
    prebuilt = next((it for it in packages if it.startswith("linux-modules-nvidia-")), "")
    branch = re.match(r"linux-modules-nvidia-(\d+(?:-server)?(?:-open)?)", prebuilt)
    if branch and not any(it.startswith("nvidia-dkms") for it in packages):
        return (f"sudo apt-get install linux-modules-nvidia-{branch.group(1)}-{kernel}", "sudo modprobe nvidia")
    if not packages and facts.get("driver_run_file"):
        return ("run the driver's .run installer again, with --dkms", "sudo modprobe nvidia")
    family = str(facts.get("os") or "").partition(" ")[0]
    if family == "Fedora":
        return (f"sudo akmods --force --kernels {kernel}", "sudo modprobe nvidia")
    manager = "dnf install kernel-devel" if family in ("Red", "Rocky", "AlmaLinux") else "apt-get install linux-headers"
    return (f"sudo {manager}-{kernel}", f"sudo dkms autoinstall -k {kernel}", "sudo modprobe nvidia")


@with_driver
def supports(facts: Facts) -> Finding:
    """FAIL where the loaded driver says that it is not for this GPU."""
    facts.need("driver")
    unheld = [it for it in facts.need("nvidia_devices") if it["kind"] == "gpu" and it["driver"] is None]
    if cuda_works(facts) and not unheld:
        return ok(f"driver {facts.get('driver')} serves the GPUs", facts.shown("driver"))
    for pattern, meaning, flavour in COMPLAINTS:
        lines = log_says(facts, pattern)
        if lines:
            fix = (install(facts)[0],) if flavour is None else _other_flavour(facts, flavour)
            return bad(f"driver {facts.get('driver')} {meaning}", *lines, fix=(*fix, "sudo reboot"), reboot=True)
    limits = facts.get("driver_limits") or []
    if limits:
        said = f"driver {facts.get('driver')} is not for compute capability {limits[0]['gpu']} ({limits[0]['wants']})"
        return bad(said, facts.shown("gpu"), fix=(install(facts)[0], "sudo reboot"), reboot=True)
    if facts.get("kernel_log") is None:
        return info("the driver's complaints could not be read", facts.shown("kernel_log"))
    return ok("the driver has no complaint about the GPU", facts.shown("driver"))


def _other_flavour(facts: Facts, flavour: str) -> tuple[str, ...]:
    branch = str(facts.get("driver")).partition(".")[0]
    return for_debian(facts, f"sudo apt-get install nvidia-driver-{branch}{flavour}")


@with_driver
def next_boot(facts: Facts) -> Finding:
    """WARN where the newest installed kernel has no NVIDIA module and the running one has."""
    kernels = facts.need("kernels")
    if kernels["newest"] is None:
        return skip("no kernel lies in /boot: the machine is booted from elsewhere, or this is a container")
    if not on_disk_files(facts):
        return skip("there is no module for the running kernel")
    newest = on_disk(facts, "newest") or {}
    if newest.get("files"):
        return ok(f"kernel {kernels['newest']}, which boots next, has the NVIDIA module", *newest["files"][:1])
    lacks = "" if newest.get("headers") else " (its headers are missing, too)"
    said = f"after the next boot there is no GPU: kernel {kernels['newest']} has no NVIDIA module{lacks}"
    evidence = (facts.shown("kernels"), f"/lib/modules/{kernels['newest']}/**/nvidia.ko is not there")
    return warn(said, *evidence, fix=build_for(facts, kernels["newest"])[:-1])


BOUND = ("gpu.bound", "cuda.noinject")
LOADED = (*BOUND, "drv.secureboot", "drv.loaded")
CHECKS: tuple[Check, ...] = (
    Check(
        id="drv.secureboot",
        title="Secure Boot",
        rule=secure_boot,
        after=BOUND,
        source="https://github.com/hhfeuer/nvhda/issues/8",
    ),
    Check(
        id="drv.loaded",
        title="Driver loaded",
        rule=loaded,
        after=LOADED[:-1],
        source="https://github.com/junxnone/tio/issues/206",
    ),
    Check(
        id="drv.supports",
        title="Driver for this GPU",
        rule=supports,
        after=LOADED,
        source="https://github.com/NVIDIA/open-gpu-kernel-modules/issues/322",
    ),
    Check(
        id="drv.next_boot",
        title="Driver after the next boot",
        rule=next_boot,
        after=LOADED,
        source="https://github.com/junxnone/tio/issues/206",
    ),
)
