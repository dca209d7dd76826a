"""Print one JSON document: the NVIDIA driver as it is installed: kernel modules on disk, Secure Boot, packages, fabric
manager, and what the kernel's log says of it. What is loaded now is in nvidia.py."""

import fnmatch
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import fact, main
from system_state import boot_time, held_packages, kernel_messages, running_programs

COMMAND_SECONDS = 0.45
MODULE_PLACES = (
    "updates/dkms/",
    "updates/",
    "kernel/drivers/video/",
    "kernel/nvidia*/",
    "kernel/drivers/char/drm/",
    "extra/",
    "extra/*/",
    "extramodules/",
    "weak-updates/",
    "weak-updates/*/",
    "misc/",
)
MODULE = re.compile(r"^nvidia(?:-current)?(?:-open)?\.ko(?:\.\w+)?$")
PACKAGES = (
    "nvidia-driver-*",
    "libnvidia-compute-*",
    "nvidia-dkms-*",
    "nvidia-utils-*",
    "nvidia-fabricmanager*",
    "linux-modules-nvidia-*",
    "libcuda1*",
    "nvidia-kernel-dkms",
    "nvidia-kernel-open-dkms",
    "nvidia-l4t-cuda*",
    "nvidia-container-csv-*",
    "nvidia-open*",
)
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu/",
    "/usr/lib/aarch64-linux-gnu/",
    "/usr/lib64/",
    "/usr/lib/",
    "/usr/local/lib/",
    "/usr/local/nvidia/lib64/",
    "/usr/lib/x86_64-linux-gnu/nvidia/current/",
    "/usr/lib/wsl/lib/",
)


def kernels(machine):
    """The running kernel, and the newest of those that can be booted (which most boot loaders take next)."""
    names = [path.rpartition("/vmlinuz-")[2] for path in machine.glob("/boot/vmlinuz-*")]
    names = [name for name in names if re.match(r"[1-9]\d*\.", name) and not re.search(r"\.(?:old|bak|signed)$", name)]
    installed = sorted(names, key=version_key)
    running = machine.text("/proc/sys/kernel/osrelease")
    return {"running": running, "newest": installed[-1] if installed else None, "installed": installed}


def version_key(text):
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"[.\-+_]", text)]


def modules_on_disk(machine, kernel):
    """For one kernel: files of the nvidia module, versions that DKMS built, whether its headers are there."""
    found = []
    for place in MODULE_PLACES:
        paths = machine.glob("/lib/modules/%s/%snvidia*.ko*" % (kernel, place))
        found += [path for path in paths if MODULE.match(path.rpartition("/")[2])]
    built = [path.split("/")[5] for path in machine.glob("/var/lib/dkms/nvidia*/*/%s" % kernel)]
    headers = machine.glob("/usr/src/*headers-%s" % kernel) + machine.glob("/usr/src/kernels/%s" % kernel)
    headers += machine.glob("/lib/modules/%s/build/Makefile" % kernel)
    return {"files": found, "dkms": sorted(set(built)), "headers": bool(headers)}


def command(machine, name, *words):
    """What a command prints, within its time limit: (text, error)."""
    import subprocess  # as slow to load as all else here; most machines have nothing to ask

    def run():
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return done.stdout.decode("utf-8", "replace").strip()

    return machine.call(name, run)


def module_info(machine, kernel, files):
    """Version, licence and signer of the module file that would be loaded, by modinfo."""
    if not files:
        return {}, "no module for %s" % kernel
    text, error = command(machine, "modinfo %s" % kernel, "modinfo", files[0])
    found = dict(re.findall(r"^(version|license|signer): +(.*)$", text or "", re.M))
    return (found, None) if found else ({}, error or "modinfo says nothing")


def secure_boot(machine):
    """(on or off, where that was read, why not known)."""
    said = machine.text(SECURE_BOOT)
    if said is not None:
        return said[-1:] == "\x01", SECURE_BOOT, None
    if machine.stat("/sys/firmware/efi") is None:
        return False, "/sys/firmware/efi (none: legacy boot)", None
    return None, SECURE_BOOT, "cannot be read"


def signatures(machine):
    """Secure Boot, whether the kernel insists on signed modules, and the owner's keys that it trusts."""
    on, origin, error = secure_boot(machine)
    yield fact("secure_boot", on, origin, error)
    enforced = machine.text("/sys/module/module/parameters/sig_enforce")
    lockdown = re.search(r"\[(\w+)\]", machine.text("/sys/kernel/security/lockdown") or "")
    value = enforced == "Y" or bool(lockdown and lockdown.group(1) != "none")
    yield fact("signed_modules_only", value, "/sys/module/module/parameters/sig_enforce, security/lockdown")
    text, error = "", "Secure Boot is not on"
    if on:
        text, error = command(machine, "mokutil", "mokutil", "--list-enrolled")
    keys = re.findall(r"Subject:.*?CN ?= ?([^,/\n]+)", text or "")
    error = None if text else error or "none shown"
    yield fact("enrolled_keys", keys if text else None, "mokutil --list-enrolled", error)


def blacklists(machine):
    """Which of nvidia and nouveau are kept from loading, and by which files."""
    found = {}
    lines = r"^\s*(?:blacklist +|(?:alias|install) +(?=\w+ +(?:off|\S*false)\b))(nvidia|nouveau)\b"
    for folder in ("/etc", "/usr/lib", "/lib", "/run"):
        for path in machine.glob(folder + "/modprobe.d/*.conf"):
            for name in re.findall(lines, machine.text(path) or "", re.M):
                found.setdefault(name, []).append(path)
    line = machine.text("/proc/cmdline") or ""
    if re.search(r"modprobe\.blacklist=\S*nouveau|nouveau\.modeset=0", line):
        found.setdefault("nouveau", []).append("/proc/cmdline")
    return found


def packages(machine):
    """Installed packages of the driver (dpkg keeps checksums of what is installed, not of what was removed)."""
    # the folder holds thousands of names: it is listed twice, and not once a pattern
    paths = [it for part in ("*nvidia*", "libcuda1*") for it in machine.glob("/var/lib/dpkg/info/%s.md5sums" % part)]
    names = [re.split(r":|\.md5sums", path.rpartition("/")[2])[0] for path in paths]
    return sorted({it for it in names if any(fnmatch.fnmatchcase(it, part) for part in PACKAGES)})


def library_files(machine):
    """The driver's libraries in the loader's usual folders: name -> paths that carry a version."""
    found = {"libcuda.so": [], "libnvidia-ml.so": []}
    for name, paths in found.items():
        for folder in LIBRARY_FOLDERS:
            paths += [it for it in machine.glob("%s%s.*.*" % (folder, name)) if re.search(r"\.so\.\d+\.\d+", it)]
    return found


def upgrades(machine):
    """When the machine started, when the driver's package last changed, and whether it is changed unattended."""
    started, error = machine.call("boot_time", boot_time)
    yield fact("boot_time", started, "/proc/stat btime", error)
    listed = [machine.stat(it) for it in machine.glob("/var/lib/dpkg/info/libnvidia-compute-*.list")]
    when = [it["mtime"] for it in listed if it]
    yield fact("driver_installed", max(when) if when else 0, "/var/lib/dpkg/info/libnvidia-compute-*.list")
    automatic = re.search(r'Unattended-Upgrade "1"', machine.text("/etc/apt/apt.conf.d/20auto-upgrades") or "")
    rules = machine.text("/etc/apt/apt.conf.d/50unattended-upgrades") or ""
    spared = re.search(r"Package-Blacklist\s*\{[^}]*^\s*\"[^\"]*nvidia", rules, re.M)
    held, error = machine.call("held", held_packages)
    value = {"automatic": bool(automatic), "spared": bool(spared), "held": held or []}
    yield fact("driver_upgrades", value, "/etc/apt/apt.conf.d, /var/lib/dpkg/status")


def fabric_manager(machine):
    """Whether the fabric manager is installed and runs, and its version."""
    path = "/usr/bin/nv-fabricmanager"
    running, _ = machine.call("daemons", running_programs)
    text, _ = command(machine, "nv-fabricmanager", path, "-v") if machine.stat(path) else ("", "")
    version = re.search(r"\d+\.\d+(?:\.\d+)?", text or "")
    enabled = machine.link("/etc/systemd/system/multi-user.target.wants/nvidia-fabricmanager.service")
    return {
        "installed": machine.stat(path) is not None,
        "version": version.group() if version else None,
        "running": "nv-fabricmanager" in (running or []),
        "enabled": enabled is not None,
    }


def facts(machine):
    found = kernels(machine)
    yield fact("kernels", found, "/proc/sys/kernel/osrelease, /boot/vmlinuz-*")
    on_disk = {it: modules_on_disk(machine, it) for it in {found["running"], found["newest"]} - {None}}
    yield fact("nvidia_modules", on_disk, "/lib/modules/*/**/nvidia.ko, /var/lib/dkms/nvidia")
    info, error = module_info(machine, found["running"], on_disk.get(found["running"], {}).get("files"))
    yield fact("nvidia_module_info", info or None, "modinfo nvidia", error)
    loaded = re.findall(r"^(nvidia\w*|nouveau|nova_core|vfio_pci) ", machine.text("/proc/modules") or "", re.M)
    yield fact("loaded_modules", loaded, "/proc/modules")
    for one in signatures(machine):
        yield one
    yield fact("modprobe_blacklist", blacklists(machine), "/etc/modprobe.d, /lib/modprobe.d, /proc/cmdline")
    yield fact("prime", machine.text("/etc/prime-discrete") or "", "/etc/prime-discrete")
    yield fact("driver_packages", packages(machine), "/var/lib/dpkg/info")
    yield fact("driver_run_file", machine.stat("/usr/bin/nvidia-uninstall") is not None, "/usr/bin/nvidia-uninstall")
    yield fact("driver_library_files", library_files(machine), "libcuda.so.*, libnvidia-ml.so.*")
    for one in upgrades(machine):
        yield one
    helper = machine.stat("/usr/bin/nvidia-modprobe")
    value = {"installed": helper is not None, "setuid": bool(helper) and helper["mode"][3] in "sS"}
    yield fact("nvidia_modprobe", value, "/usr/bin/nvidia-modprobe")
    yield fact("fabric_manager", fabric_manager(machine), "/usr/bin/nv-fabricmanager, /proc/*/comm")
    said, error = machine.call("kernel_log", kernel_messages)
    yield fact("kernel_log", said, "/dev/kmsg", error)


if __name__ == "__main__":
    main(facts)
