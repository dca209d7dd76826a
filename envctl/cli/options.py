"""Options that several commands share: engines, components, pins."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

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
Pinned = dict[str, str | None]  # what was said, by option: {"--ort": "1.31", "--trt": None, …}

Gpu = Annotated[str | None, typer.Option("--gpu", help="Compute capability to build for, e.g. 8.9.")]
Pins = Annotated[list[str], typer.Option("--pin", metavar="NAME=SPEC", help="Any other component.")]
Matrices = Annotated[Path | None, typer.Option("--matrices", help="Another folder of matrix files.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Index = Annotated[list[str], typer.Option("--index", metavar="ALIAS=URL", help="Address of an index.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]


def with_pins(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each engine and component where it has the parameter `pinned`."""

    @wraps(command)
    def expanded(**given: Any) -> None:
        pinned = {f"--{name}": given.pop(_parameter(name).name) for name in PINS}
        command(**given, pinned=pinned)

    signature = inspect.signature(command, eval_str=True)
    named = signature.parameters.values()
    parameters = [each for one in named for each in (map(_parameter, PINS) if one.name == "pinned" else [one])]
    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return expanded


def _parameter(name: str) -> inspect.Parameter:
    annotation = Annotated[str | None, typer.Option(f"--{name}", help=PINS[name])]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name.replace("-", "_"), kind, default=None, annotation=annotation)
