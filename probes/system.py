"""Print one JSON document: operating system, C libraries, kind of machine, CPU and memory (standard library only)."""

import os
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import fact, main

CGROUP = "/sys/fs/cgroup"
CPUINFO, MEMINFO = "/proc/cpuinfo", "/proc/meminfo"
# words in the firmware's names of a virtual machine: what it is
VIRTUAL = (
    ("firecracker", "firecracker"), ("kvm", "kvm"), ("qemu", "qemu"), ("bochs", "qemu"), ("vmware", "vmware"),
    ("virtualbox", "virtualbox"), ("innotek", "virtualbox"), ("xen", "xen"), ("virtual machine", "hyper-v"),
    ("amazon ec2", "kvm"), ("google compute", "kvm"), ("openstack", "kvm"),
)  # fmt: skip


def field(text, key, separator):
    """The value of the first `key<separator>value` line, or None."""
    for line in text.splitlines():
        name, found, value = line.partition(separator)
        if found and name.strip() == key:
            return value.strip().strip('"')
    return None


def from_file(machine, name, path, pick):
    """A fact picked out of a file's text; unknown, with the reason, when the file does not say."""
    try:
        value = pick(machine.read(path))
    except (OSError, ValueError, AttributeError, IndexError) as error:
        return fact(name, None, path, str(error))
    return fact(name, value, path, None if value is not None else "not stated there")


def cpu_flags(text):
    return field(text, "flags", ":") or field(text, "Features", ":")


def cpu_model(text):
    return field(text, "model name", ":") or field(text, "Model", ":") or field(text, "CPU part", ":")


def kibibytes(key):
    return lambda text: int(field(text, key, ":").split()[0]) * 1024


def called(machine, name, function, origin):
    value, error = machine.call(name, function)
    return fact(name, value, origin, error)


def glibc_version():
    """The C library's version, asked of the library this Python runs on."""
    name, _, version = os.confstr("CS_GNU_LIBC_VERSION").partition(" ")
    return version if name == "glibc" else None


def libc(machine):
    """`glibc` (unknown where the C library is another one), and `libc` with its name."""
    version, error = machine.call("glibc", glibc_version)
    musl = machine.glob("/lib/ld-musl-*.so.1")
    other = "musl" if musl else "unknown C library"
    yield fact("glibc", version, "confstr CS_GNU_LIBC_VERSION", None if version else "not glibc: %s" % other)
    said = "glibc %s" % version if version else "musl" if musl else None
    yield fact(
        "libc", said, musl[0] if musl and not version else "confstr CS_GNU_LIBC_VERSION", None if said else error
    )


def uname():
    return {"kernel": os.uname().release, "arch": os.uname().machine}


def kernel(machine):
    said, error = machine.call("uname", uname)
    for name in ("kernel", "arch"):
        yield fact(name, (said or {}).get(name), "uname", error)


def container(machine):
    """Which kind of container this is, "" for none; what only a running system shows is not seen in a recording."""
    named = machine.text("/run/systemd/container")
    if named:
        return named
    if machine.stat("/.dockerenv"):
        return "docker"
    if machine.stat("/run/.containerenv"):
        return "podman"
    groups = machine.text("/proc/1/cgroup") or ""
    found = [kind for kind in ("kubepods", "docker", "libpod", "lxc", "containerd") if kind in groups]
    return found[0] if found else ""


def wsl(machine):
    """1 or 2 under Windows, else 0."""
    version = (machine.text("/proc/version") or "").lower()
    if "microsoft" not in version:
        return 0
    return 2 if "wsl2" in version or machine.stat("/dev/dxg") else 1


def tegra(machine):
    """The L4T release of a Jetson ("35.4.1"), "unknown" where there is none to read, "" on other machines."""
    release = machine.text("/etc/nv_tegra_release")
    if release:
        words = release.replace(",", " ").split()
        major = [word[1:] for word in words if word[:1] == "R" and word[1:].isdigit()]
        minor = [words[place + 1] for place, word in enumerate(words[:-1]) if word == "REVISION:"]
        return ".".join(major[:1] + minor[:1]) or "unknown"
    return "unknown" if "nvidia,tegra" in (machine.text("/proc/device-tree/compatible") or "") else ""


def hypervisor(machine):
    """What this machine runs on: a name, "unnamed" where only the CPU's hypervisor bit tells, "" on bare metal."""
    folder = "/sys/class/dmi/id/"
    said = " ".join(machine.text(folder + name) or "" for name in ("sys_vendor", "product_name", "bios_vendor")).lower()
    found = [kind for words, kind in VIRTUAL if words in said]
    if found:
        return found[0]
    if machine.text("/sys/hypervisor/type"):
        return machine.text("/sys/hypervisor/type")
    return "unnamed" if "hypervisor" in (cpu_flags(machine.text(CPUINFO) or "") or "").split() else ""


def kind(machine):
    value = {
        "container": container(machine),
        "wsl": wsl(machine),
        "tegra": tegra(machine),
        "hypervisor": hypervisor(machine),
    }
    return fact("machine_kind", value, "/proc/version, /sys/class/dmi/id, /etc/nv_tegra_release, /.dockerenv")


def own_groups(machine):
    """Controller -> path of the control group this process is in; "" is the one of cgroup v2."""
    groups = {}
    for line in (machine.text("/proc/self/cgroup") or "0::/").splitlines():
        _, names, path = [*line.split(":", 2), "", ""][:3]
        for name in names.split(","):
            groups[name] = path
    return groups


def levels(machine, controller):
    """Folders of a controller's group and of those above it, innermost first: their limits hold together."""
    groups = own_groups(machine)
    base = CGROUP + "/" + controller if controller in groups else CGROUP
    if base == CGROUP and not machine.stat(CGROUP + "/cgroup.controllers"):
        base = CGROUP + "/unified"
    path = groups.get(controller, groups.get("", "/"))
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return ["/".join([base, *parts[:count]]) for count in range(len(parts), -1, -1)]


def smallest(machine, controller, names, number):
    """(number, file, folder) of the tightest limit; None where nothing is limited."""
    found = []
    for folder in levels(machine, controller):
        for name in names:
            limit = number(" ".join(machine.text(folder + "/" + part) or "" for part in name.split("+")))
            if limit is not None:
                found.append((limit, folder + "/" + name.partition("+")[0], folder))
    return min(found) if found else None


def whole(text):
    # cgroup v1 says "no limit" with a number close to 2**63
    return int(text) if text.isdigit() and int(text) < 1 << 60 else None


def processors(text):
    """`200000 100000` is 2.0 CPUs."""
    quota, _, period = text.partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def used(machine, folder):
    """Bytes that a memory group holds without the page cache it could give back; None where it does not say."""
    total = machine.text(folder + "/memory.current") or machine.text(folder + "/memory.usage_in_bytes") or ""
    if not total.isdigit():
        return None
    stat = machine.text(folder + "/memory.stat") or ""
    idle = field(stat, "total_inactive_file", " ") or field(stat, "inactive_file", " ") or "0"
    return max(0, int(total) - int(idle))


def control_groups(machine):
    memory = smallest(machine, "memory", ("memory.max", "memory.limit_in_bytes"), whole)
    cpu = smallest(machine, "cpu", ("cpu.max", "cpu.cfs_quota_us+cpu.cfs_period_us"), processors)
    pids = smallest(machine, "pids", ("pids.max",), whole)
    version = 2 if machine.stat(CGROUP + "/cgroup.controllers") else 1 if machine.stat(CGROUP) else None
    none = "no limit" if version else "no control groups are mounted"
    for name, found in (("memory_limit", memory), ("cpu_limit", cpu), ("pids_limit", pids)):
        yield fact(name, found[0] if found else None, found[1] if found else CGROUP, None if found else none)
    held = used(machine, memory[2]) if memory else None
    yield fact("memory_limit_used", held, memory[2] if memory else CGROUP, None if held is not None else none)
    text = machine.text(pids[2] + "/pids.current") if pids else None
    count = int(text) if text and text.isdigit() else None
    yield fact("pids_used", count, pids[2] if pids else CGROUP, None if count is not None else none)
    yield fact("cgroup_version", version, CGROUP, None if version else none)


def facts(machine):
    yield from_file(machine, "os", "/etc/os-release", lambda text: field(text, "PRETTY_NAME", "="))
    for found in kernel(machine):
        yield found
    yield called(machine, "pointer_bits", lambda: 8 * struct.calcsize("P"), "struct.calcsize of this Python")
    for found in libc(machine):
        yield found
    yield kind(machine)
    yield from_file(machine, "cpu_model", CPUINFO, cpu_model)
    yield from_file(machine, "cpu", CPUINFO, cpu_flags)
    yield called(machine, "cores", lambda: len(os.sched_getaffinity(0)), "sched_getaffinity")
    yield from_file(machine, "kernel_command_line", "/proc/cmdline", str.strip)
    yield from_file(machine, "memory", MEMINFO, kibibytes("MemTotal"))
    yield from_file(machine, "memory_available", MEMINFO, kibibytes("MemAvailable"))
    yield from_file(machine, "swap", MEMINFO, kibibytes("SwapTotal"))
    yield called(machine, "clock", lambda: int(time.time()), "system clock")
    for found in control_groups(machine):
        yield found


if __name__ == "__main__":
    main(facts)
