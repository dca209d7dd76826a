"""Options that several commands share: engines, components, pins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Trt = Annotated[str | None, typer.Option("--trt", help="TensorRT version.")]
TrtRtx = Annotated[str | None, typer.Option("--trt-rtx", help="TensorRT for RTX version.")]
Tf = Annotated[str | None, typer.Option("--tf", help="TensorFlow version.")]
Ort = Annotated[str | None, typer.Option("--ort", help="ONNX Runtime version.")]
OrtGpu = Annotated[str | None, typer.Option("--ort-gpu", help="ONNX Runtime version, CUDA build.")]
OpenVino = Annotated[str | None, typer.Option("--openvino", help="OpenVINO version.")]
Ncnn = Annotated[str | None, typer.Option("--ncnn", help="ncnn version.")]
LiteRt = Annotated[str | None, typer.Option("--litert", help="LiteRT version.")]
Mxnet = Annotated[str | None, typer.Option("--mxnet", help="MXNet version.")]
Cuda = Annotated[str | None, typer.Option("--cuda", help="CUDA version.")]
Cudnn = Annotated[str | None, typer.Option("--cudnn", help="cuDNN version.")]
Python = Annotated[str | None, typer.Option("--python", help="CPython of the environment, e.g. 3.11.")]
Gpu = Annotated[str | None, typer.Option("--gpu", help="Compute capability to build for, e.g. 8.9.")]
Pins = Annotated[list[str], typer.Option("--pin", metavar="NAME=SPEC", help="Any other component.")]
Matrices = Annotated[Path | None, typer.Option("--matrices", help="Another folder of matrix files.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Index = Annotated[list[str], typer.Option("--index", metavar="ALIAS=URL", help="Address of an index.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]
