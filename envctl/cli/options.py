"""Options that several commands share, one by one; those that always go together are in groups.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# those of envctl.request.ENGINE_OPTIONS and the components that have an option (a test compares); imports nothing
PINS = {
    "trt": "TensorRT version.",
    "trt-rtx": "TensorRT for RTX version.",
    "tf": "TensorFlow version.",
    "ort": "ONNX Runtime version.",
    "ort-gpu": "ONNX Runtime version, CUDA build.",
    "ort-openvino": "ONNX Runtime version, OpenVINO build.",
    "openvino": "OpenVINO version.",
    "ncnn": "ncnn version.",
    "litert": "LiteRT version.",
    "mxnet": "MXNet version.",
    "torch": "PyTorch version.",
    "cuda": "CUDA version.",
    "cudnn": "cuDNN version.",
    "python": "CPython of the environment, e.g. 3.11.",
}

Gpu = Annotated[str | None, typer.Option("--gpu", help="Compute capability to build for, e.g. 8.9.")]
Pins = Annotated[list[str], typer.Option("--pin", metavar="NAME=SPEC", help="Any other component.")]
Matrices = Annotated[Path | None, typer.Option("--matrices", help="Another folder of matrix files.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Index = Annotated[list[str], typer.Option("--index", metavar="ALIAS=URL", help="Address of an index.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]
Model = Annotated[Path, typer.Argument(help="A model file or SavedModel folder.", show_default=False)]
Precision = Annotated[str | None, typer.Option("--precision", help="fp32 (default), fp16, bf16, int8.")]
Input = Annotated[str, typer.Option("--input", help="FILE.npz with an array for each input, or 'seeded'.")]
Memory = Annotated[str | None, typer.Option("--memory", help="Memory cap of a worker, e.g. 8g.")]
Timeout = Annotated[int, typer.Option("--timeout", min=1, help="Time cap of a worker in seconds.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the job folder.")]
RefreshLock = Annotated[bool, typer.Option("--refresh-lock", help="Resolve packages anew.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Plain HTTP for registries on other machines.")]
Wheels = Annotated[list[Path], typer.Option("--wheels", metavar="DIR", help="Folder with wheels; may be repeated.")]
