"""What pnnx printed and wrote -> what it left out (worker/pnnx_program.py); no pnnx is run here."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from envctl.runner import WORKER
from tests.models import graph

PARAM = "7767517\n3 3\nInput in0 0 1 in0\n{layer} x 1 1 in0 out0 0=1\n"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The worker's module, as the worker imports it."""
    monkeypatch.syspath_prepend(str(WORKER))
    yield importlib.import_module("pnnx_program")
    for name in ("pnnx_program", "pnnx_ready", "failure"):
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
    joined = program.pnnx_ready.ready(model)
    assert ("Tile" in {node.op_type for node in joined.graph.node}) == (max(repeats) > 16)
    np.testing.assert_array_equal(ReferenceEvaluator(joined).run(None, given)[0], expected)


@pytest.mark.parametrize("power", [2, 3, 4, 5, 0.5])
def test_whole_powers_become_products(program: ModuleType, power: float) -> None:
    g = graph.Graph("power", opset=13)
    g.op("Pow", "x", g.keep(float(power)), out="y")
    model = g.model({"x": [2, 3]}, {"y": [2, 3]})
    given = {"x": np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)}
    expected = ReferenceEvaluator(model).run(None, given)[0]
    made = program.pnnx_ready.ready(model)
    assert {node.op_type for node in made.graph.node} == ({"Mul"} if power in (2, 3, 4) else {"Pow"})
    np.testing.assert_allclose(ReferenceEvaluator(made).run(None, given)[0], expected, rtol=1e-6)


def test_a_reduction_that_lost_its_axis_is_refused(program: ModuleType, tmp_path: Path) -> None:
    """As pnnx 20261020 writes it for ReduceSum of opset 13 along one axis; max_0 has kept its own."""
    lines = "Reduction max_0 1 1 2 3 0=4 1=0 -23303=1,1 4=1 5=1\nReduction sum_1 1 1 7 8 0=0 1=0 -23303=0 4=1 5=1\n"
    (tmp_path / "model.param").write_text(f"7767517\n2 2\n{lines}")
    with pytest.raises(Exception, match="lost the axis of the reductions sum_1:"):
        program.refuse_left_out("", str(tmp_path / "model.param"))


@pytest.mark.parametrize(
    ("op", "said", "refused"),
    [
        ("AveragePool", {"auto_pad": "SAME_UPPER", "kernel_shape": [2, 2]}, True),
        ("AveragePool", {"auto_pad": "VALID", "kernel_shape": [2, 2]}, False),
        ("GridSample", {"mode": "cubic"}, True),
        ("GridSample", {"mode": "linear"}, False),
        ("ConvTranspose", {"output_shape": [10, 8]}, True),
        ("ConvTranspose", {"output_shape": [10, 8], "output_padding": [1, 1]}, False),
    ],
)
def test_attributes_that_pnnx_reads_past_are_refused(
    program: ModuleType, op: str, said: dict[str, object], refused: bool
) -> None:
    node = helper.make_node(op, ["x", "w"], ["y"], name="n", **said)
    if not refused:
        program.pnnx_ready.refuse_read_past(node)
        return
    with pytest.raises(Exception, match=f"no rule for {next(iter(said))} of {op} n, and reads past it"):
        program.pnnx_ready.refuse_read_past(node)
