"""The healthy models that faults are planted in: Keras' networks and a U-Net through tf2onnx, a transformer, int8."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.conftest import run_envctl
from tests.models import planted, zoo
from tests.models.graph import Graph, save

MAKER = Path(__file__).parent / "models" / "keras_nets.py"
KERAS = ("unet", "mobilenetv2", "resnet50", "inceptionv3")


def make(folder: Path) -> Path:
    """The folder, with NAME.onnx of each; those that are there already stay."""
    missing = [name for name in KERAS if not (folder / f"{name}.onnx").is_file()]
    tensorflow = ("run", "--tf", "2.20", "--runner", "local", "--", "python")
    if missing:
        _done(run_envctl(*tensorflow, MAKER, folder, *missing, seconds=1800))
    for name in missing:
        saved, opset = folder / name / "saved_model", ("--opset", "17")
        program = ("-m", "tf2onnx.convert", "--saved-model", saved, *opset, "--output", folder / f"{name}.onnx")
        _done(run_envctl(*tensorflow, *program, seconds=1800))
    zoo.make("tokens", folder)
    planted.quantised(folder / "unet.onnx", folder / "quantised.onnx")
    return folder


def ceiling(path: Path) -> Path:
    """A net whose average counts the padding of a rounded-up size: ONNX Runtime 1.17 divides by another number."""
    return _net(path, lambda g, x: g.op("AveragePool", x, ceil_mode=1, count_include_pad=1, **BY_TWO))


def antialiased(path: Path) -> Path:
    """A net that makes its picture smaller without aliases: OpenVINO 2024.6 and 2026.4 pass that by in silence."""
    return _net(path, lambda g, x: g.op("Resize", x, "", g.keep(SMALLER), mode="cubic", antialias=1))


BY_TWO = {"kernel_shape": [2, 2], "strides": [2, 2]}
SMALLER = np.array([1.0, 1.0, 0.6, 0.6])


def _net(path: Path, middle: Callable[[Graph, str], str]) -> Path:
    """From "image" [1,3,17,17] -> convolution, what is looked at, two more -> "map"."""
    g = Graph("seventeen", opset=19)
    x = middle(g, g.op("Relu", g.conv("image", (3, 8), pads=[1, 1, 1, 1])))
    x = g.conv(g.op("Tanh", g.conv(x, (8, 8), pads=[1, 1, 1, 1])), (8, 4), kernel=1)
    g.op("Identity", x, out="map")
    return save(g.model({"image": [1, 3, 17, 17]}, {"map": [1, 4, "h", "w"]}), path)


def _done(ran: object) -> None:
    assert ran.code == 0, ran.err  # type: ignore[attr-defined]
