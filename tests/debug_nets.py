"""The healthy models that faults are planted in: Keras' networks and a U-Net through tf2onnx, a transformer, int8."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import run_envctl
from tests.models import planted, zoo

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


def _done(ran: object) -> None:
    assert ran.code == 0, ran.err  # type: ignore[attr-defined]
