"""Print one JSON document: libraries of the GPU engines as the loader really resolves them, each in a child of its own;
what cuInit says; forward compatibility; OpenCL and Vulkan drivers; what engines in this Python environment lack."""

import ctypes
import glob
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from elf import compat_note, needed
from machine import Child, fact, main

SECONDS = 1.4
SONAMES = (
    "libcuda.so.1", "libnvidia-ml.so.1", "libcudart.so.11.0", "libcudart.so.12", "libcudart.so.13", "libcublas.so.11",
    "libcublas.so.12", "libcublas.so.13", "libcublasLt.so.11", "libcublasLt.so.12", "libcublasLt.so.13",
    "libcudnn.so.7", "libcudnn.so.8", "libcudnn.so.9", "libnvinfer.so.7", "libnvinfer.so.8", "libnvinfer.so.10",
    "libnvinfer.so.11", "libnvrtc.so.11.2", "libnvrtc.so.12", "libnvrtc.so.13", "libOpenCL.so.1", "libze_loader.so.1",
    "libze_intel_gpu.so.1", "libvulkan.so.1",
)  # fmt: skip
# cuDNN is several libraries, opened when first needed (names by major version; cuDNN 9: vendor's API overview)
CUDNN_PARTS = {
    "libcudnn.so.8": "ops_infer cnn_infer adv_infer ops_train cnn_train adv_train",
    "libcudnn.so.9": "graph ops cnn adv heuristic engines_precompiled engines_runtime_compiled",
}
VERSION_CALLS = {
    "libcudnn.so": "cudnnGetVersion", "libnvinfer.so": "getInferLibVersion", "libcublasLt.so": "cublasLtGetVersion",
}  # fmt: skip
ENGINE_FILES = (
    "onnxruntime/capi/libonnxruntime_providers_cuda.so", "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",
    "onnxruntime/capi/libonnxruntime_providers_openvino.so", "tensorrt_libs/libnvinfer.so.*",
    "openvino/libs/libopenvino_intel_gpu_plugin.so",
)  # fmt: skip
OPENVINO = ("/usr/lib/*/", "/usr/lib64/", "/opt/intel/openvino*/runtime/lib/*/")
CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


def stem(name):
    return name.partition(".so")[0] + ".so"


def opened(soname):
    """Path, version and (of cuDNN) missing parts of a library, as the loader finds it; run this in a child."""
    library = ctypes.CDLL(soname)
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as stream:
        mapped = {line.split(None, 5)[-1].strip() for line in stream}
    paths = sorted(path for path in mapped if stem(os.path.basename(path)) == stem(soname))
    path = paths[0] if paths else soname
    found = {"path": path, "version": version(library, soname, path)}
    if soname in CUDNN_PARTS:
        names = ["libcudnn_%s.so.%s" % (part, soname[-1]) for part in CUDNN_PARTS[soname].split()]
        found["lacks"] = [name for name in names if not any(map(os.path.exists, beside(path, name)))]
    return found


def beside(path, name):
    return [os.path.join(os.path.dirname(path), name), *glob.glob("/usr/lib/*/" + name)]


def version(library, soname, path):
    """From the file's name, else from the library itself."""
    named = re.search(r"\.so\.(\d+\.\d+[\d.]*)$", path)
    if named and named.group(1) != "1.1":  # WSL's libcuda.so.1.1
        return named.group(1)
    if stem(soname) == "libcudart.so":
        number = ctypes.c_int()
        return cuda_version(number.value) if library.cudaRuntimeGetVersion(ctypes.byref(number)) == 0 else None
    call = getattr(library, VERSION_CALLS.get(stem(soname), ""), None)
    if call is None:
        return None
    call.restype = ctypes.c_size_t
    return numbered(call())


def cuda_version(number):
    return "%d.%d" % (number // 1000, number % 1000 // 10)


def numbered(number):
    """8907 is 8.9.7, 90100 is 9.1.0, 120304 is 12.3.4: the vendor changed the base at 9, 10 and 10."""
    base = 10000 if number >= 10000 else 1000
    return "%d.%d.%d" % (number // base, number % base // 100, number % 100)


def cuda_answer():
    """What the CUDA driver says: the code of cuInit, its CUDA version, and its devices; run this in a child."""
    cuda = ctypes.CDLL("libcuda.so.1")
    number, count, part = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    code = cuda.cuInit(0)
    found = {"init": code, "version": None, "devices": []}
    if cuda.cuDriverGetVersion(ctypes.byref(number)) == 0:
        found["version"] = cuda_version(number.value)
    if code == 0:
        found["count_code"] = cuda.cuDeviceGetCount(ctypes.byref(count))
    for device in range(count.value):
        numbers = []
        for attribute in CAPABILITY:
            cuda.cuDeviceGetAttribute(ctypes.byref(part), attribute, device)
            numbers.append(str(part.value))
        found["devices"].append(".".join(numbers))
    return found


def engine_answer(prefixes):
    """For each engine's library in these Python prefixes: what the loader does not find of what it needs."""
    found = []
    for folder in [place for prefix in prefixes for place in glob.glob(prefix + "/lib/python3*/site-packages")]:
        wheels = {os.path.basename(it): it for it in glob.glob(folder + "/nvidia/*/lib/*.so*")}
        wheels.update((os.path.basename(it), it) for it in glob.glob(folder + "/tensorrt_libs/*.so*"))
        for path in [it for pattern in ENGINE_FILES for it in glob.glob(os.path.join(folder, pattern))]:
            near = set(os.listdir(os.path.dirname(path)))
            missing = [name for name in needed(path) if name not in near and not loads(name)]
            found.append({"file": path, "missing": missing, "in_wheels": [name for name in missing if name in wheels]})
    return found


def loads(name):
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def prefixes():
    """The Python environment this runs in, and those that the shell has activated."""
    here = os.path.dirname(os.path.dirname(sys.executable))
    return sorted({here} | {os.environ[it] for it in ("VIRTUAL_ENV", "CONDA_PREFIX") if os.environ.get(it)})


def loader_folders(machine):
    """Folders that the loader searches before its own: from LD_LIBRARY_PATH, and from ld.so.conf.d."""
    said, _ = machine.call("env LD_LIBRARY_PATH", lambda: os.environ.get("LD_LIBRARY_PATH", ""))
    found = [{"folder": it, "from": "LD_LIBRARY_PATH"} for it in (said or "").split(":") if it]
    for path in machine.glob("/etc/ld.so.conf.d/*.conf"):
        lines = [line.strip() for line in (machine.text(path) or "").splitlines()]
        found += [{"folder": it, "from": path} for it in lines if it.startswith("/")]
    return found


def opencl(machine):
    """OpenCL drivers: each .icd file and the library it names."""
    return [{"icd": path, "library": machine.text(path)} for path in machine.glob("/etc/OpenCL/vendors/*.icd")]


def vulkan(machine):
    """Vulkan drivers: each manifest and the library it names."""
    found = []
    for path in machine.glob("/usr/share/vulkan/icd.d/*.json") + machine.glob("/etc/vulkan/icd.d/*.json"):
        named = re.search(r'"library_path"\s*:\s*"([^"]+)"', machine.text(path) or "")
        found.append({"icd": path, "library": named.group(1) if named else None})
    return found


def intel(machine):
    """Intel GPUs on the bus and the driver each is bound to, and the render nodes with mode, owner and group."""
    found = []
    for path in machine.glob("/sys/bus/pci/devices/*/vendor"):
        folder = path.rpartition("/")[0]
        if machine.text(path) == "0x8086" and (machine.text(folder + "/class") or "").startswith("0x03"):
            bound = machine.link(folder + "/driver")
            found.append({"slot": folder.rpartition("/")[2], "driver": bound.rpartition("/")[2] if bound else None})
    yield fact("intel_gpus", found, "/sys/bus/pci/devices/*/{vendor,class}")
    said = {path: machine.stat(path) for path in machine.glob("/dev/dri/renderD*")}
    nodes = {path: {key: it[key] for key in ("mode", "uid", "gid")} for path, it in said.items() if it}
    yield fact("render_nodes", nodes, "/dev/dri/renderD*")


def start(machine, drivers):
    """A child for every library, so that none sees what another has loaded; none for a recorded machine."""
    if machine.root:
        return {}
    names = dict.fromkeys([*SONAMES, *[it["library"] for it in drivers if it["library"]]])
    found = {name: Child(lambda name=name: opened(name)) for name in names}
    found.update({"cuda": Child(cuda_answer), "engines": Child(lambda: engine_answer(prefixes()))})
    return found


def resolved(machine, children, names):
    """Library -> {path, version …}, or {error} where the loader does not find it or something it needs."""
    found = {}
    for name in names:
        value, error = machine.call("dlopen " + name, lambda name=name: children[name].answer(SECONDS))
        found[name] = value or {"error": (error or "").replace("OSError: ", "")}
    return found


def compat(machine):
    """Forward-compatibility libraries in their usual folders, with their notes."""
    found = []
    for path in machine.glob("/usr/local/cuda*/compat/libcuda.so.*.*"):
        note, _ = machine.call("note " + path, lambda path=path: compat_note(path))
        found.append({"path": path, "version": re.sub(r".*\.so\.", "", path), "note": note or {}})
    return found


def facts(machine):
    drivers, layers = opencl(machine), vulkan(machine)
    children = start(machine, drivers + layers)
    yield fact("libraries", resolved(machine, children, SONAMES), "dlopen and /proc/self/maps in a child")
    for them, name, origin in ((drivers, "opencl_drivers", "/etc/OpenCL/vendors"), (layers, "vulkan_drivers", "icd.d")):
        for one in them:
            library = one["library"]
            one["error"] = resolved(machine, children, [library])[library].get("error") if library else "names none"
        yield fact(name, them, origin)
    answer, error = machine.call("cuInit", lambda: children["cuda"].answer(SECONDS))
    yield fact("cuda", answer, "cuInit in a child", error and error.replace("OSError: ", ""))
    yield fact("cuda_compat", compat(machine), "/usr/local/cuda*/compat")
    files = [it for name in ("libcudart", "libcudnn") for it in machine.glob("/usr/local/cuda*/lib64/%s.so.*" % name)]
    yield fact("cuda_files", files, "/usr/local/cuda*/lib64")
    files = [it for place in OPENVINO for it in machine.glob(place + "libopenvino.so.*")]
    yield fact("openvino_files", files, ", ".join(OPENVINO))
    yield fact("loader_folders", loader_folders(machine), "LD_LIBRARY_PATH, /etc/ld.so.conf.d")
    visible, _ = machine.call("env CUDA", lambda: {it: os.environ[it] for it in os.environ if it.startswith("CUDA_")})
    yield fact("cuda_environment", visible or {}, "CUDA_* in the environment")
    for one in intel(machine):
        yield one
    answer, error = machine.call("engines", lambda: children["engines"].answer(SECONDS))
    yield fact("engine_libraries", answer, "DT_NEEDED of engines in Python environments", error)


if __name__ == "__main__":
    main(facts)
