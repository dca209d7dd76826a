"""Print one JSON document: NVIDIA GPUs on the bus, the loaded driver, its device nodes, what NVML says of each GPU.

NVML is asked in a child with a time limit: a driver that hangs costs that limit only. CUDA is asked in libraries.py.
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from machine import Child, fact, main
from nvml import nvml_answer

NVML_SECONDS = 1.4
DRIVER_FILE, MODULE_FILE = "/proc/driver/nvidia/version", "/sys/module/nvidia/version"
NVIDIA, DISPLAY, BRIDGE = "0x10de", "0x03", "0x0680"
# product names that say the class (matrices/gpu-class.toml): boards for servers, and boards that never get
# forward compatibility. Names are those that NVML prints: "NVIDIA A100-SXM4-80GB", "Tesla T4", "NVIDIA L40S".
DATACENTER = re.compile(r"(?:NVIDIA )?(?:Tesla [A-Z]\d+|(?:A|H|L|B|GH|GB)\d{1,3}[A-Z]{0,2})(?:[ -]|$)")
GEFORCE, DESKTOP = re.compile(r"GeForce|TITAN", re.I), re.compile(r"GB10\b|RTX|Quadro")
# compute capability of a Jetson's GPU by its chip (matrices/gpu.toml): it has no NVML before JetPack 6
TEGRA = {"tegra210": "5.3", "tegra186": "6.2", "tegra194": "7.2", "tegra234": "8.7", "tegra264": "11.0"}


def nvidia_devices(machine):
    """Every NVIDIA function on the PCI bus that is a GPU or an NVSwitch: slot, device, kind, the driver that has it."""
    found = []
    for path in machine.glob("/sys/bus/pci/devices/*/vendor"):
        folder = path.rpartition("/")[0]
        kind = machine.text(folder + "/class") or "" if machine.text(path) == NVIDIA else ""
        if kind.startswith((DISPLAY, BRIDGE)):
            bound = machine.link(folder + "/driver")
            found.append(
                {
                    "slot": folder.rpartition("/")[2],
                    "device": machine.text(folder + "/device"),
                    "kind": "gpu" if kind.startswith(DISPLAY) else "nvswitch",
                    "driver": bound.rpartition("/")[2] if bound else None,
                }
            )
    return found


def driver(machine):
    """(version, whether the open kernel module, where that was read, or why not known) of the loaded kernel module."""
    text = machine.text(DRIVER_FILE)
    found = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", text + " ") if text else None
    version = found.group(1) if found else machine.text(MODULE_FILE)
    error = None if version else "no version in it" if text else "no NVIDIA driver is loaded"
    return version, "Open Kernel Module" in (text or ""), DRIVER_FILE if found or not version else MODULE_FILE, error


def nodes(machine):
    """Device nodes by path, with mode, owner and group."""
    paths = machine.glob("/dev/nvidia*") + machine.glob("/dev/nvidia-caps/*") + machine.glob("/dev/dxg")
    found = {path: machine.stat(path) for path in paths}
    return {path: {key: it[key] for key in ("mode", "uid", "gid")} for path, it in found.items() if is_node(it)}


def is_node(it):
    return it is not None and it["mode"].startswith("c")


def capabilities(machine, answer, error):
    """The fact `gpu`: compute capabilities, space-separated; of a Jetson by its chip."""
    found = [it["capability"] for it in (answer or {}).get("gpus", []) if it.get("capability")]
    if found:
        return fact("gpu", " ".join(found), "nvml nvmlDeviceGetCudaComputeCapability")
    chip = re.search(r"tegra\d{3}", machine.text("/proc/device-tree/compatible") or "")
    if chip and chip.group() in TEGRA:
        return fact("gpu", TEGRA[chip.group()], "/proc/device-tree/compatible (%s)" % chip.group())
    if not error:
        error = "nvmlInit_v2 answered %d" % answer["init"] if answer["init"] else "NVML lists no GPU"
    return fact("gpu", None, "nvml nvmlDeviceGetCudaComputeCapability", error)


def gpu_class(answer):
    """The fact `gpu-class`, where all products' names say the same."""
    names = [it["name"] for it in (answer or {}).get("gpus", []) if it.get("name")]
    found = {
        "geforce"
        if GEFORCE.search(name)
        else "datacenter"
        if DATACENTER.match(name) and not DESKTOP.search(name)
        else ""
        for name in names
    }
    said = found.pop() if len(found) == 1 else ""
    error = None if said else "%s: no class is known" % (", ".join(sorted(set(names))) or "no GPU")
    return fact("gpu-class", said or None, "nvml nvmlDeviceGetName", error)


def platform_facts(machine):
    """What takes the driver's place elsewhere: WSL's paravirtual GPU, a Jetson's release; whether in a container."""
    version = machine.text("/proc/version") or ""
    wsl = "microsoft" in version.lower()
    libraries = [path.rpartition("/")[2] for path in machine.glob("/usr/lib/wsl/lib/lib*.so*")]
    two = "WSL2" in version or "microsoft-standard" in version
    value = {"dxg": machine.stat("/dev/dxg") is not None, "libraries": libraries, "two": two}
    yield fact("wsl_gpu", value if wsl else {}, "/proc/version, /dev/dxg, /usr/lib/wsl/lib")
    text = machine.text("/etc/nv_tegra_release") or ""
    said = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    chip = re.search(r"tegra\d{3}", machine.text("/proc/device-tree/compatible") or "")
    found = {"l4t": "%s.%s" % said.groups() if said else None, "chip": chip.group() if chip else None}
    yield fact("tegra_gpu", found if said or chip else {}, "/etc/nv_tegra_release, /proc/device-tree/compatible")
    csv = machine.glob("/etc/nvidia-container-runtime/host-files-for-container.d/*.csv")
    yield fact("tegra_csv", csv, "/etc/nvidia-container-runtime/host-files-for-container.d")
    inside = [it for it in ("/.dockerenv", "/run/.containerenv") if machine.stat(it)]
    yield fact("inside_container", bool(inside), " or ".join(inside) or "/.dockerenv, /run/.containerenv")


def facts(machine):
    asked = None if machine.root else Child(nvml_answer)
    devices = nvidia_devices(machine)
    yield fact("nvidia_pci", sum(it["kind"] == "gpu" for it in devices), "/sys/bus/pci/devices/*/{vendor,class}")
    yield fact("nvidia_devices", devices, "/sys/bus/pci/devices")
    version, opened, origin, error = driver(machine)
    yield fact("driver", version, origin, error)
    yield fact("driver_open", opened if version else None, DRIVER_FILE, error)
    yield fact("nvidia_nodes", nodes(machine), "/dev/nvidia*")
    ids, error = machine.call("ids", lambda: {"uid": os.getuid(), "gids": sorted({os.getgid(), *os.getgroups()})})
    yield fact("ids", ids, "getuid, getgroups", error)
    for one in platform_facts(machine):
        yield one
    answer, error = machine.call("nvml", lambda: asked.answer(NVML_SECONDS))
    error = error and error.replace("OSError: ", "")
    yield fact("nvml", answer, "nvml", error)
    yield capabilities(machine, answer, error)
    yield gpu_class(answer)


if __name__ == "__main__":
    main(facts)
