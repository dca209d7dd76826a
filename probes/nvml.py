"""What NVML says of the GPUs. Run `nvml_answer` in a child: a driver that hangs must cost its time limit only."""

import ctypes
import sys


def ask(nvml, name, device, *kinds):
    """The values a function of NVML puts out, None where it is not supported."""
    function = getattr(nvml, name, None)
    values = [kind() for kind in kinds]
    if function is None or function(device, *[ctypes.byref(value) for value in values]):
        return None
    return [value.value for value in values] if len(values) > 1 else values[0].value


def code_of(nvml, name, *arguments):
    """What a function of NVML answers: 0 where it did its work; 13, as NVML says it, where this NVML has none such."""
    function = getattr(nvml, name, None)
    return function(*arguments) if function else 13


def nvml_answer():
    """What NVML says: `init` (its code), versions, and one table a GPU. No UUIDs, no serial numbers."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        raise OSError("no NVML library: no NVIDIA driver installed (%s)" % error) from None
    code = nvml.nvmlInit_v2()
    if code:
        return {"init": code}
    text, number, count = ctypes.create_string_buffer(96), ctypes.c_int(), ctypes.c_uint()
    nvml.nvmlSystemGetDriverVersion(text, 96)
    code_of(nvml, "nvmlSystemGetCudaDriverVersion_v2", ctypes.byref(number))
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    cuda = "%d.%d" % (number.value // 1000, number.value % 1000 // 10) if number.value else None
    gpus = [nvml_gpu(nvml, index) for index in range(count.value)]
    return {"init": 0, "driver": text.value.decode(), "cuda": cuda, "gpus": gpus}


def nvml_gpu(nvml, index):
    """One GPU; only {"error": code} where there is no handle to it (15: lost)."""
    device, uint, ull = ctypes.c_void_p(), ctypes.c_uint, ctypes.c_ulonglong
    code = nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device))
    if code:
        return {"error": code}
    name, pci = ctypes.create_string_buffer(96), ctypes.create_string_buffer(128)
    nvml.nvmlDeviceGetName(device, name, 96)
    code_of(nvml, "nvmlDeviceGetPciInfo_v3", device, pci)
    capability = ask(nvml, "nvmlDeviceGetCudaComputeCapability", device, ctypes.c_int, ctypes.c_int)
    plain = {
        "compute_mode": "nvmlDeviceGetComputeMode",
        "persistence": "nvmlDeviceGetPersistenceMode",
        "power_limit": "nvmlDeviceGetEnforcedPowerLimit",
        "power_default": "nvmlDeviceGetPowerManagementDefaultLimit",
        "retired_pending": "nvmlDeviceGetRetiredPagesPendingStatus",
        "brand": "nvmlDeviceGetBrand",
    }
    found = {key: ask(nvml, function, device, uint) for key, function in plain.items()}
    found["name"] = name.value.decode()
    found["slot"] = pci.raw[36:68].split(b"\0")[0].decode().lower()[-12:]
    found["capability"] = "%d.%d" % tuple(capability) if capability else None
    found["mig"] = ask(nvml, "nvmlDeviceGetMigMode", device, uint, uint)
    found["ecc"] = ask(nvml, "nvmlDeviceGetEccMode", device, uint, uint)
    found["mig_devices"] = mig_devices(nvml, device) if found["mig"] and found["mig"][0] else 0
    found["remapped_rows"] = ask(nvml, "nvmlDeviceGetRemappedRows", device, uint, uint, uint, uint)
    found["slowdown"] = ask(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", device, ull)
    found.update(memory_and_errors(nvml, device))
    return found


def mig_devices(nvml, device):
    """The number of MIG devices that were made on a GPU."""
    most, part = ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", device, ctypes.c_uint) or 0, ctypes.c_void_p()
    handles = [("nvmlDeviceGetMigDeviceHandleByIndex", device, index, ctypes.byref(part)) for index in range(most)]
    return sum(code_of(nvml, *handle) == 0 for handle in handles)


def memory_and_errors(nvml, device):
    """Memory in bytes, processes that compute, uncorrected memory errors since boot, and the state of the fabric."""
    memory, count, errors = (ctypes.c_ulonglong * 3)(), ctypes.c_uint(), ctypes.c_ulonglong()
    fabric = (ctypes.c_uint8 * 64)()
    found = {"memory": None, "memory_free": None, "processes": None, "uncorrected": None, "fabric": None}
    if code_of(nvml, "nvmlDeviceGetMemoryInfo", device, memory) == 0:
        found["memory"], found["memory_free"] = memory[0], memory[1]
    running = getattr(nvml, "nvmlDeviceGetComputeRunningProcesses_v2", None)
    if running and running(device, ctypes.byref(count), None) in (0, 7):  # 7: there are some, and no room was given
        found["processes"] = count.value
    if code_of(nvml, "nvmlDeviceGetTotalEccErrors", device, 1, 0, ctypes.byref(errors)) == 0:
        found["uncorrected"] = errors.value
    if code_of(nvml, "nvmlDeviceGetGpuFabricInfo", device, fabric) == 0:
        status = int.from_bytes(bytes(bytearray(fabric[16:20])), sys.byteorder)
        found["fabric"] = {"state": fabric[24], "status": status}  # after a 16-byte UUID; state 3: registered
    return found
