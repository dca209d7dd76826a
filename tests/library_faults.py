"""Broken libraries: what was broken on which machine, how, and what must be found (see test_doctor_libraries.py)."""

from __future__ import annotations

from typing import Any

from tests.gpu_machines import A10, GEFORCE, H200, INTEL, Break, Broken


def stubbed(machine: Broken) -> Broken:
    """What an H200 machine answered with a stub first in LD_LIBRARY_PATH."""
    path = "/usr/local/cuda-13.0/targets/x86_64-linux/lib/stubs/libcuda.so"
    machine.call("env LD_LIBRARY_PATH", "/tmp/stubs:/usr/local/nvidia/lib64")
    return machine.library("libcuda.so.1", path, None).cuda(34)


def compat(machine: Broken, version: str, drivers: list[int] | None = None) -> Broken:
    """A forward-compatibility libcuda comes first."""
    folder = "/usr/local/cuda-13.0/compat"
    path = f"{folder}/libcuda.so.{version}"
    machine.call("env LD_LIBRARY_PATH", folder).there(path)
    machine.call(f"note {path}", {"cuda": "13.0", "drivers": drivers or [535, 550, 565, 570, 575, 580]})
    return machine.library("libcuda.so.1", path, version)


def engine(provider: str, missing: list[str]) -> dict[str, Any]:
    """What the probe says of an ONNX Runtime whose provider lacks libraries."""
    place = "/opt/venv/lib/python3.10/site-packages/onnxruntime/capi"
    return {"file": f"{place}/libonnxruntime_providers_{provider}.so", "missing": missing, "in_wheels": []}


FAULTS: tuple[tuple[str, str, Break, str, str, str, str], ...] = (
    ("a stub is taken for libcuda", H200,
     stubbed,
     "cuda.stub", "FAIL", "a stub", "/tmp/stubs out of LD_LIBRARY_PATH"),
    ("stubs in ld.so.conf.d", A10,
     lambda m: m.file("/etc/ld.so.conf.d/cuda-stubs.conf", "/usr/local/cuda/lib64/stubs\n"),
     "cuda.stub", "WARN", "folder of stubs", "cuda-stubs.conf"),
    ("compat older than the driver", H200,
     lambda m: compat(m, "580.95.05").cuda(803),
     "cuda.compat", "FAIL", "not newer than the driver", "compat out of LD_LIBRARY_PATH"),
    ("compat on a GeForce", GEFORCE,
     lambda m: compat(m, "580.95.05", [535, 550]).cuda(804),
     "cuda.compat", "FAIL", "GeForce", "compat out of"),
    ("compat for other driver branches", A10,
     lambda m: compat(m, "610.43.02", [570, 580]).cuda(803),
     "cuda.compat", "FAIL", "not for driver branch 535", "compat out of"),
    ("every GPU is hidden", A10,
     lambda m: m.call("env CUDA", {"CUDA_VISIBLE_DEVICES": ""}).cuda(100),
     "drv.cuinit", "FAIL", "hides every GPU", "unset CUDA_VISIBLE_DEVICES"),
    ("no order of devices", H200,
     lambda m: m.call("env CUDA", {"CUDA_DEVICE_ORDER": ""}).cuda(101),
     "drv.cuinit", "FAIL", "CUDA_DEVICE_ORDER=''", "PCI_BUS_ID"),
    ("nvidia_uvm after a suspend", A10,
     lambda m: m.cuda(999),
     "drv.cuinit", "FAIL", "999", "modprobe nvidia_uvm"),
    ("driver too old for CUDA 13", A10,
     lambda m: m.library("libcudart.so.13", "/usr/local/cuda-13.0/lib/libcudart.so.13.0.96", "13.0.96"),
     "cuda.major", "FAIL", "CUDA 13.0.96 needs driver", "newer driver"),
    ("PTX newer than the driver", A10,
     lambda m: m.library("libcudart.so.12", "/usr/local/cuda-12.6/lib/libcudart.so.12.6.77", "12.6.77"),
     "cuda.ptx", "WARN", "PTX made by CUDA 12.6.77", "newer driver"),
    ("CUDA dropped the GPU", H200,
     lambda m: m.gpu(capability="6.1", name="Tesla P40"),
     "cuda.arch", "FAIL", "compute capability", "older CUDA"),
    ("CUDA older than the GPU", GEFORCE,
     lambda m: m.gpu(capability="12.0").library("libcudart.so.12", "/x/libcudart.so.12.2.140", "12.2.140"),
     "cuda.arch", "WARN", "only code with PTX", "newer CUDA"),
    ("cuDNN outside of the loader's path", A10,
     lambda m: m.error("dlopen libcudnn.so.8", "libcudnn.so.8: cannot open shared object file")
      .there("/usr/local/cuda-12.2/lib64/libcudnn.so.8"),
     "lib.path", "WARN", "where the loader does not look", "ldconfig"),
    ("cuDNN lacks cuBLAS", A10,
     lambda m: m.error("dlopen libcudnn.so.8", "libcublas.so.12: cannot open shared object file"),
     "lib.cudnn", "FAIL", "libcublas.so.12 is missing", "libcublas.so.12"),
    ("cuDNN is not whole", A10,
     lambda m: m.library("libcudnn.so.8", "/usr/lib/x86_64-linux-gnu/libcudnn.so.8.9.7", "8.9.7",
      lacks=["libcudnn_adv_infer.so.8"]),
     "lib.cudnn", "FAIL", "libcudnn_adv_infer.so.8", "--reinstall libcudnn8"),
    ("TensorRT lacks cuDNN", A10,
     lambda m: m.error("dlopen libnvinfer.so.8", "libcudnn.so.8: cannot open shared object file")
      .error("dlopen libcudnn.so.8", "libcudnn.so.8: cannot open shared object file"),
     "lib.trt", "FAIL", "libcudnn.so.8 is missing", "libcudnn.so.8"),
    ("two TensorRTs", A10,
     lambda m: m.library("libnvinfer.so.10", "/opt/tensorrt/lib/libnvinfer.so.10.0.1", "10.0.1"),
     "lib.trt", "WARN", "2 versions", "keep one"),
    ("TensorRT dropped the GPU", A10,
     lambda m: m.gpu(capability="6.1", name="Tesla P40")
      .library("libnvinfer.so.8", "/x/libnvinfer.so.10.0.1", "10.0.1"),
     "lib.trt", "FAIL", "TensorRT 10.0.1 needs gpu", "envctl matrix range"),
    ("cuBLAS of two toolkits", A10,
     lambda m: m.library("libcublasLt.so.12", "/opt/x/libcublasLt.so.12.0.1.189", "12.0.1.189"),
     "lib.cublas", "WARN", "different toolkits", "one toolkit"),
    ("ONNX Runtime lacks cuDNN", A10,
     lambda m: m.call("engines", [engine("cuda", ["libcudnn.so.9"])]),
     "lib.closure", "FAIL", "lacks libcudnn.so.9", "libcudnn.so.9"),
    ("ONNX Runtime lacks TensorRT", A10,
     lambda m: m.call("engines", [engine("tensorrt", ["libnvinfer.so.10"])]),
     "lib.closure", "WARN", "(TensorRT) lacks libnvinfer.so.10", "libnvinfer.so.10"),
    ("OpenCL driver gone", INTEL,
     lambda m: m.error("dlopen /usr/lib/x86_64-linux-gnu/intel-opencl/libigdrcl.so", "cannot open"),
     "lib.opencl", "WARN", "does not load", "dpkg -S"),
    ("no right on the render node", INTEL,
     lambda m: m.call("ids", {"uid": 1000, "gids": [1000]}),
     "lib.opencl", "FAIL", "may not open /dev/dri/renderD128", "usermod -aG"),
    ("no render node in the container", INTEL,
     lambda m: m.without("/dev/dri"),
     "lib.opencl", "FAIL", "no render node", "--device /dev/dri"),
    ("Vulkan driver gone", GEFORCE,
     lambda m: m.error("dlopen libGLX_nvidia.so.0", "libGLX_nvidia.so.0: cannot open"),
     "lib.vulkan", "WARN", "does not load", "dpkg -S"),
)  # fmt: skip
