"""What a smoke run does with ONNX Runtime's CUDA build: a model of one node on the CUDA provider, never on the CPU's.

The wheel falls back to the CPU in silence where CUDA cannot be had (https://onnxruntime.ai/docs/execution-providers/),
whether a GPU is missing or a library. So both are asked: everything that the provider is linked with is opened, and the
session says which providers it really has.
"""

import ctypes
import mmap
import os
import struct

from failure import StepFailed

PROVIDER = "CUDAExecutionProvider"
LIBRARY = "libonnxruntime_providers_cuda.so"
DRIVER = "libcuda.so.1"
SHT_DYNAMIC, DT_NEEDED = 6, 1


def open_engine():
    import onnxruntime  # noqa: F401


def versions():
    import numpy
    import onnxruntime

    return {"onnxruntime-gpu": onnxruntime.__version__, "numpy": numpy.__version__}


def convert(source, target, options):
    raise StepFailed("unsupported", "this module tries ONNX Runtime's CUDA provider; it converts no models")


def load(source, options):
    import onnxruntime

    if PROVIDER not in onnxruntime.get_available_providers():
        raise StepFailed("engine-missing", "this onnxruntime was built without %s" % PROVIDER)
    absent = libraries_absent()
    if absent - {DRIVER}:
        raise StepFailed("engine-missing", "%s needs %s, which cannot be opened" % (LIBRARY, " ".join(sorted(absent))))
    session = onnxruntime.InferenceSession(source, providers=[PROVIDER])
    got = session.get_providers()
    if got[0] != PROVIDER:
        kind, why = why_not(absent)
        raise StepFailed(kind, "asked for %s, got %s: %s" % (PROVIDER, " ".join(got), why))
    return Session(session)


def libraries_absent():
    """What the provider is linked with and this process cannot open, with CUDA and cuDNN loaded out of their wheels."""
    import onnxruntime

    onnxruntime.preload_dlls()
    folder = os.path.join(os.path.dirname(onnxruntime.__file__), "capi")
    ctypes.CDLL(os.path.join(folder, "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
    return {name for name in needed(os.path.join(folder, LIBRARY)) if not opens(name)}


def opens(name):
    try:
        ctypes.CDLL(name)
    except OSError as error:
        print(error, flush=True)
        return False
    return True


def needed(path):
    """The names in a 64-bit ELF file of what it is linked with (https://refspecs.linuxfoundation.org/elf/elf.pdf)."""
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        (start,) = struct.unpack_from("<Q", data, 0x28)
        size, count = struct.unpack_from("<HH", data, 0x3A)
        sections = [struct.unpack_from("<IIQQQQIIQQ", data, start + index * size) for index in range(count)]
        _, _, _, _, offset, length, link, *_ = next(each for each in sections if each[1] == SHT_DYNAMIC)
        names = sections[link][4]
        entries = [struct.unpack_from("<QQ", data, offset + at) for at in range(0, length, 16)]
        found = [names + value for tag, value in entries if tag == DT_NEEDED]
        return [data[at : data.find(b"\0", at)].decode() for at in found]


def why_not(absent):
    """Kind and words: the driver's library is not there, or what the CUDA runtime says of its devices."""
    if DRIVER in absent:
        return "no-device", "%s, which comes with NVIDIA's driver, is not here" % DRIVER
    runtime = ctypes.CDLL(cuda_runtime())
    runtime.cudaGetErrorString.restype = ctypes.c_char_p
    count = ctypes.c_int(0)
    code = runtime.cudaGetDeviceCount(ctypes.byref(count))
    if code:
        return "no-device", "%s (cudaGetDeviceCount: %d)" % (runtime.cudaGetErrorString(code).decode(), code)
    return "engine-error", "there are %d CUDA devices; the reason is in the log" % count.value


def cuda_runtime():
    """The file of the CUDA runtime that this process has opened."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return next(line.split()[-1] for line in maps if "libcudart" in line)


class Session:
    """One input, one output; both are the model's."""

    def __init__(self, session):
        self.session = session
        self.inputs = [entry.name for entry in session.get_inputs()]
        self.outputs = [(entry.name, entry.type) for entry in session.get_outputs()]

    def run(self, feed):
        return self.session.run(None, feed)

    def read_back(self):
        return {"device": "GPU", "providers": " ".join(self.session.get_providers())}
