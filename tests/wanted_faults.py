"""What --for can find: each broken thing with the machine it is for, what must be said, and its healthy twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onnx import TensorProto

from tests import wanted_makers as make
from tests.models import bad

A10, H200, RTX4090 = "ubuntu22.04-a10-driver535", "ubuntu24.04-h200-driver580", "fedora42-podman-rtx4090"
DOCKER, GRAVITON, DESKTOP = "ubuntu22.04-docker28-a10", "ubuntu24.04-graviton", "ubuntu22.04-desktop"
LIBCUDA = "usr/lib/x86_64-linux-gnu/libcuda.so.470.57.02"


@dataclass(frozen=True)
class Fault:
    """`broken` and `twin` make a thing in a folder; "" as name leaves it out and asks for the engines alone."""

    host: str
    name: str
    broken: Callable[[Path], object]
    twin: Callable[[Path], object]
    check: str
    level: str
    said: str
    fix: str
    engines: tuple[str, ...] = ()
    twin_engines: tuple[str, ...] | None = None
    twin_host: str = ""


def nothing(path: Path) -> None:
    """No file: an engine alone is asked for."""


def onnx_fault(broken: Callable[[Path], object], check: str, level: str, said: str, fix: str, *engines: str) -> Fault:
    """A model on a desktop without a GPU; the twin is the honest one."""
    return Fault(DESKTOP, "model.onnx", broken, make.model, check, level, said, fix, engines)


def rtx(path: Path) -> Path:
    return make.plan(path, "tensorrt-rtx", (1, 7, 1, 116))


FAULTS = {
    "pointer": onnx_fault(bad.lfs_pointer, "file.kind", "FAIL", "Git LFS pointer", "git lfs pull"),
    "web page": onnx_fault(bad.html, "file.kind", "FAIL", "HTML", "download the model file itself"),
    "cut off": onnx_fault(bad.truncated, "file.kind", "FAIL", "truncated or damaged", "download or export it again"),
    "archive": onnx_fault(bad.zipped, "file.kind", "FAIL", "zip archive", "convert it to ONNX"),
    "tflite for ort": onnx_fault(
        lambda it: bad.put(it, b"\x1c\0\0\0TFL3" + bytes(100)), "file.kind", "FAIL", "TensorFlow Lite", "ONNX", "ort",
    ),
    "onnx for litert": Fault(
        DESKTOP, "model.onnx", make.model, make.model, "file.kind", "FAIL", "litert loads no ONNX", "onnxruntime",
        ("litert",), ("ort",),
    ),
    "weights left behind": onnx_fault(make.no_weights, "file.external", "FAIL", "'lost.bin', which", "put it"),
    "weights outside": onnx_fault(
        bad.external_escaping, "file.external", "FAIL", "outside its folder", "beside the model",
    ),
    "opset of the future": onnx_fault(bad.opset_too_high, "onnx.version", "FAIL", "opset 99", "export it again"),
    "IR of the future": onnx_fault(bad.ir_too_high, "onnx.version", "FAIL", "IR version 99", "export it again"),
    "ml of the future": onnx_fault(
        lambda it: make.classical(it, 99), "onnx.version", "FAIL", "opset of ai.onnx.ml 99", "export it again",
    ),
    "opset for a newer runtime": onnx_fault(
        lambda it: make.model(it, 22, 10), "onnx.version", "FAIL", "reads opset >=7,<=20", "take onnxruntime 1.2",
        "ort 1.17",
    ),
    "IR for a newer runtime": onnx_fault(
        lambda it: make.model(it, 17, 10), "onnx.version", "FAIL", "IR version >=3,<=9", "take onnxruntime 1.18",
        "ort 1.17",
    ),
    "uint16 for TensorRT": Fault(
        A10, "model.onnx", lambda it: make.typed(it, TensorProto.UINT16), make.model, "onnx.dtypes", "FAIL",
        "lists no uint16", "cast", ("trt 8.6",),
    ),
    "bfloat16 before 10": Fault(
        A10, "model.onnx", lambda it: make.typed(it, TensorProto.BFLOAT16),
        lambda it: make.typed(it, TensorProto.FLOAT16), "onnx.dtypes", "FAIL", "lists no bfloat16", "cast",
        ("trt 8.6",),
    ),
    "type that ONNX lacks": onnx_fault(
        lambda it: make.typed(it, 99), "onnx.dtypes", "FAIL", "that ONNX does not have: type 99", "export it again",
    ),
    "open batch for TensorRT": Fault(
        A10, "model.onnx", make.open_sizes, make.model, "onnx.shapes", "WARN", "optimisation profile", "--shape x=1,16",
        ("trt 8.6",),
    ),
    "no shape": onnx_fault(make.shapeless, "onnx.shapes", "WARN", "without any shape: x", "--shape x="),
    "custom operator": onnx_fault(
        make.custom, "onnx.ops", "FAIL", "no operator com.acme:MyOp", "replace the custom operators", "ort",
    ),
    "larger than memory": Fault(
        GRAVITON, "model.onnx", lambda it: make.heavy(it, 9), lambda it: make.heavy(it, 1), "model.memory", "FAIL",
        "more than this machine has", "more memory",
    ),
    "twice larger than memory": Fault(
        GRAVITON, "model.onnx", lambda it: make.heavy(it, 6), make.model, "model.memory", "WARN", "twice",
        "more memory",
    ),
    "engine of another release": Fault(
        A10, "model.engine", lambda it: make.plan(it, version=(10, 3, 0, 26)), make.plan, "plan.match", "FAIL",
        "built by TensorRT 10.3.0.26; the TensorRT here is 8.6.1", "build it again",
    ),
    "engine of before 8.6": Fault(
        A10, "model.engine", make.old_plan, make.plan, "plan.match", "FAIL", "built by TensorRT 8.5", "build it again",
    ),
    "engine with notes": Fault(
        A10, "model.engine", make.noted_plan, make.plan, "plan.match", "WARN", "stand before the engine", "tail -c +",
    ),
    "engine of zeros": Fault(
        A10, "model.engine", lambda it: bad.put(it, bytes(4096)), make.plan, "file.kind", "FAIL", "no tag",
        "binary mode",
    ),
    "engine of version 0": Fault(
        A10, "model.engine", lambda it: make.plan(it, version=(0, 0, 0, 0)), make.plan, "file.kind", "FAIL", "0.0.0",
        "binary mode",
    ),
    "engine cut off": Fault(
        RTX4090, "model.plan", lambda it: make.plan(it, "tensorrt-rtx", (1, 7, 1, 116), lost=40), rtx, "plan.match",
        "FAIL", "not whole", "build it again",
    ),
    "engine that was replaced": Fault(
        A10, "model.plan", lambda it: make.with_sidecar(make.plan(it), "8.6", digest="0" * 64),
        lambda it: make.with_sidecar(make.plan(it), "8.6"), "plan.match", "FAIL", "another SHA-256", "build it again",
    ),
    "engine of another GPU": Fault(
        A10, "model.plan", lambda it: make.with_sidecar(make.plan(it), "8.9"),
        lambda it: make.with_sidecar(make.plan(it), "8.6"), "trt.sm", "FAIL", "capability 8.9; here is 8.6",
        "build it again",
    ),
    "engine that no H200 runs": Fault(
        H200, "model.plan", rtx, lambda it: make.plan(it, version=(10, 3, 0, 26)), "trt.sm", "FAIL", "here is 9.0",
        "envctl doctor --for tensorrt-rtx",
    ),
    "engine without a GPU": Fault(
        DESKTOP, "model.plan", make.plan, make.plan, "trt.sm", "FAIL", "NVIDIA GPU only", "envctl doctor",
        twin_host=A10,
    ),
    "TensorRT that is too old": Fault(
        H200, "", nothing, nothing, "engine", "FAIL", "tensorrt 7 cannot run here: tensorrt 7.2.3 needs gpu",
        "with tensorrt 8.5.1 instead", ("trt==7",), ("trt",),
    ),
    "TensorFlow that does not know the GPU": Fault(
        H200, "", nothing, nothing, "engine", "WARN", "runs here on CPU (2.10.1); this machine's GPU is not used",
        "instead of --for tf 2.10", ("tf 2.10",), ("tf",),
    ),
    "release that is not known": Fault(
        H200, "", nothing, nothing, "engine", "FAIL", "tensorrt 99 cannot run here", "instead of --for", ("trt 99",),
        ("trt 10.3",),
    ),
    "image for Arm": Fault(
        DOCKER, "image", lambda it: make.oci(it, {}, architectures=("arm64",)), lambda it: make.oci(it, {}), "img.arch",
        "FAIL", "linux/arm64", "--platform linux/amd64",
    ),
    "image that asks for more": Fault(
        DOCKER, "image", lambda it: make.oci(it, {}, env=("NVIDIA_REQUIRE_CUDA=cuda>=12.8",)),
        lambda it: make.oci(it, {}, env=("NVIDIA_REQUIRE_CUDA=cuda>=12.1",)), "img.require", "FAIL", "cuda>=12.8",
        "a driver that offers CUDA 12.8",
    ),
    "image with a driver in it": Fault(
        DOCKER, "image", lambda it: make.oci(it, {"etc/a": b"a"}, {LIBCUDA: b"x"}),
        lambda it: make.oci(it, {LIBCUDA: b"x"}, {f"{Path(LIBCUDA).parent}/.wh.{Path(LIBCUDA).name}": b""}),
        "img.driverfiles", "WARN", "libcuda.so.470.57.02", "rebuild",
    ),
    "image of 2021": Fault(
        DOCKER, "image", lambda it: make.oci(it, {}, env=("CUDA_VERSION=11.2.0",), created="2021-08-01T00:00:00Z"),
        lambda it: make.oci(it, {}, env=("CUDA_VERSION=11.2.0",)), "img.age", "WARN", "another key", "--pull",
    ),
}  # fmt: skip
