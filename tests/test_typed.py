"""A precision written into the graph's types by a step before, then executed and judged by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.conftest import Ran

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
ORT = ("--ort", "1.31", "--runner", "local")


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A folder with real digits: `calibration/*.npz`, and others in `judged.npz`."""
    from sklearn.datasets import load_digits

    images = (load_digits().images[:80] / 16).astype(np.float32)[:, None, None]
    (tmp_path / "calibration").mkdir()
    for index in range(2):
        np.savez(tmp_path / "calibration" / f"{index}.npz", image=images[index * 30 : index * 30 + 30])
    np.savez(tmp_path / "judged.npz", image=images[60:])
    return tmp_path


def test_int8_of_a_trained_model_is_calibrated_run_and_judged(envctl: Program, digits: Path, samples: Path) -> None:
    wish = ("--precision", "int8", "--calibration", samples / "calibration", "--input", samples / "judged.npz")
    ran = envctl("run", *ORT, "convert", digits, *wish, "-o", "out", "--json")
    assert (ran.code, ran.json["status"], ran.json["precision"]) == (0, "passed", "int8"), ran.err
    assert ran.json["steps"]["types"]["read_back"]["calibration_samples"] == "60"
    assert any(note.startswith("calibrated on 60 samples of") for note in ran.json["notes"])
    made = onnx.load(str(samples / "out" / "digits.ort.onnx"))
    assert "DequantizeLinear" in {node.op_type for node in made.graph.node}


@pytest.mark.slow
def test_fp16_is_run_and_judged_as_fp16(envctl: Program, digits: Path, samples: Path) -> None:
    wish = ("--precision", "fp16", "--input", samples / "judged.npz")
    ran = envctl("run", *ORT, "convert", digits, *wish, "-o", samples / "half", "--json")
    assert (ran.code, ran.json["status"], ran.json["precision"]) == (0, "passed", "fp16"), ran.err
    made = onnx.load(str(samples / "half" / "digits.ort.onnx"))  # what is delivered is what was judged
    assert {each.data_type for each in made.graph.initializer} == {onnx.TensorProto.FLOAT16}


def test_a_cast_in_the_middle_makes_what_comes_after_it(envctl: Program, tmp_path: Path) -> None:
    """A mask of integers, as text models have it."""
    ids = onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.INT64, [1, 4])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    weights = onnx.numpy_helper.from_array(np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32), "w")
    nodes = [
        onnx.helper.make_node("Cast", ["mask"], ["given"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Mul", ["x", "given"], ["masked"]),
        onnx.helper.make_node("MatMul", ["masked", "w"], ["y"]),
    ]
    graph = onnx.helper.make_graph(nodes, "masked", [ends[0], ids], ends[1:], [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "masked.onnx"))
    wish = ("--precision", "fp16", "-o", tmp_path / "half", "--json")
    ran = envctl("run", *ORT, "convert", tmp_path / "masked.onnx", *wish)
    assert (ran.code, ran.json["status"], ran.json["precision"]) == (0, "passed", "fp16"), ran.err
    made = onnx.load(str(tmp_path / "half" / "masked.ort.onnx"))
    onnx.checker.check_model(made, full_check=True)


def test_calibration_without_int8_is_refused(envctl: Program, digits: Path) -> None:
    ran = envctl("run", *ORT, "verify", digits, "--calibration", "seeded")
    assert ran.code == 2 and "--calibration is for --precision int8" in ran.err


def test_a_folder_without_samples_is_refused(envctl: Program, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = envctl("run", *ORT, "verify", digits, "--precision", "int8", "--calibration", tmp_path / "empty")
    assert ran.code == 2 and "no .npz file lies there" in ran.err
