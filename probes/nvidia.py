"""Print one JSON document: NVIDIA GPUs on the bus, the loaded driver, and what NVML says of compute capability.

Standard library only; NVML is opened through ctypes where its library is present.
"""

import ctypes
import glob
import json
import re
import sys

DRIVER_FILE = "/proc/driver/nvidia/version"
NVIDIA_VENDOR, DISPLAY_CLASS = "0x10de", "0x03"


def fact(name, value, origin, error=None):
    return {"name": name, "value": value, "origin": origin, "error": error}


def read(path):
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read().strip()


def on_the_bus():
    """The number of NVIDIA display or 3D controllers among the PCI functions."""
    origin = "/sys/bus/pci/devices/*/{vendor,class}"
    count = 0
    for folder in glob.glob("/sys/bus/pci/devices/*"):
        try:
            vendor, kind = read(folder + "/vendor"), read(folder + "/class")
        except OSError:
            continue
        count += vendor == NVIDIA_VENDOR and kind.startswith(DISPLAY_CLASS)
    return fact("nvidia_pci", count, origin)


def driver():
    """The version of the loaded kernel module."""
    try:
        found = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", read(DRIVER_FILE))
    except OSError:
        return fact("driver", None, DRIVER_FILE, "no NVIDIA driver is loaded")
    return fact("driver", found.group(1) if found else None, DRIVER_FILE, None if found else "no version in it")


def compute_capabilities():
    """The compute capability of every GPU, space-separated, as NVML reports it."""
    origin = "nvml nvmlDeviceGetCudaComputeCapability"
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return fact("gpu", None, origin, "no NVML library: no NVIDIA driver installed")
    code = nvml.nvmlInit_v2()
    if code:
        return fact("gpu", None, origin, "nvmlInit_v2 answered %d" % code)
    return fact("gpu", " ".join(each_capability(nvml)) or None, origin)


def each_capability(nvml):
    count, device = ctypes.c_uint(), ctypes.c_void_p()
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    major, minor = ctypes.c_int(), ctypes.c_int()
    for index in range(count.value):
        nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device))
        if nvml.nvmlDeviceGetCudaComputeCapability(device, ctypes.byref(major), ctypes.byref(minor)) == 0:
            yield "%d.%d" % (major.value, minor.value)


if __name__ == "__main__":
    json.dump({"facts": [on_the_bus(), driver(), compute_capabilities()]}, sys.stdout)
