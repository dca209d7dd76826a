"""What pnnx printed and wrote -> what it left out (worker/pnnx_program.py); no pnnx is run here."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from envctl.runner import WORKER
from tests.models import graph

PARAM = "7767517\n3 3\nInput in0 0 1 in0\n{layer} x 1 1 in0 out0 0=1\n"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The worker's module, as the worker imports it."""
    monkeypatch.syspath_prepend(str(WORKER))
    yield importlib.import_module("pnnx_program")
    for name in ("pnnx_program", "failure"):
        sys.modules.pop(name, None)


def left_out(program: ModuleType, folder: Path, log: str, layer: str = "ReLU") -> str:
    """The words of the refusal, "" where nothing was left out."""
    (folder / "model.param").write_text(PARAM.format(layer=layer))
    try:
        program.refuse_left_out(log, str(folder / "model.param"))
    except Exception as error:
        assert getattr(error, "kind", "") == "unsupported", repr(error)
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("log", "layer", "told"),
    [
        ("ignore Pad Pad_8 param pads=(0,0,0,0,0,0,1,1)\n", "Pad", "Pad Pad_8 (pads=(0,0,0,0,0,0,1,1))"),
        # ncnn has a layer of that name, which would load with parameters of nothing
        ("todo LSTM\nignore LSTM LSTM_0 param hidden_size=16\n", "LSTM", "left out: LSTM LSTM_0 (hidden_size=16)"),
        ("todo Gemm\n", "Gemm", "left out: Gemm"),
        ("sum along batch axis is not supported yet\n", "ReLU", "sum along batch axis is not supported yet"),
    ],
)
def test_each_sign_of_something_left_out_is_seen(
    program: ModuleType, tmp_path: Path, log: str, layer: str, told: str
) -> None:
    assert told in left_out(program, tmp_path, log, layer)


@pytest.mark.parametrize("log", ["", "get inputshape from traced inputs\n", "todo Gemm\n"])
def test_a_log_without_a_sign_passes(program: ModuleType, tmp_path: Path, log: str) -> None:
    assert left_out(program, tmp_path, log) == ""


@pytest.mark.parametrize(
    ("line", "axis"),
    [
        ('ex.input("in0", ncnn.Mat(in0.numpy(), batch_index=0).clone())', 0),
        ('ex.input("in0", ncnn.Mat(in0.numpy(), batch_index=233).clone())', None),
        ('ex.input("in0", ncnn.Mat(in0.squeeze(1).numpy()).clone())', 1),
        ('ex.input("in0", ncnn.Mat(in0.numpy()).clone())', None),
    ],
)
def test_the_batch_axis_is_read_from_scripts_of_old_and_new_pnnx(
    program: ModuleType, line: str, axis: int | None
) -> None:
    ((blob, rest),) = program.INPUT.findall(f"    {line}\n")
    assert (blob, program.axis(rest)) == ("in0", axis)


@pytest.mark.parametrize("repeats", [(1, 1, 1, 2, 1), (2, 1, 3, 1, 1), (1, 1, 1, 1, 1), (1, 1, 1, 40, 1)])
def test_tiles_become_concats_that_are_the_same(program: ModuleType, repeats: tuple[int, ...]) -> None:
    g = graph.Graph("tile", opset=13)
    g.op("Tile", "x", g.keep(list(repeats)), out="y")
    model = g.model(
        {"x": [2, 3, 4, 1, 2]}, {"y": [size * by for size, by in zip((2, 3, 4, 1, 2), repeats, strict=True)]}
    )
    given = {"x": np.random.default_rng(0).normal(size=(2, 3, 4, 1, 2)).astype(np.float32)}
    expected = ReferenceEvaluator(model).run(None, given)[0]
    joined = program.tiles_joined(model)
    assert ("Tile" in {node.op_type for node in joined.graph.node}) == (max(repeats) > 16)
    np.testing.assert_array_equal(ReferenceEvaluator(joined).run(None, given)[0], expected)
