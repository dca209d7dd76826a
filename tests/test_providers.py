"""Providers: the one that was asked for owns the nodes, or the run ends with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.conftest import ROOT, Ran

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
HERE = ("--runner", "local")
SAVED_MODEL = ROOT / "tests/models/small/tensorflow/saved_model"


def test_openvino_owns_every_node_of_onnxruntime(envctl: Program, digits: Path) -> None:
    ran = envctl("run", "--ort-openvino", "1.24", *HERE, "verify", digits, "--json")
    assert (ran.code, ran.json["status"], ran.json["precision"]) == (0, "passed", "fp32"), ran.err
    said = ran.json["steps"]["infer"]["read_back"]
    assert said["providers"].split()[0] == "OpenVINOExecutionProvider"
    assert said["nodes"] == "1 OpenVINO"  # all eight, compiled into one
    assert ran.json["target"]["locked"]["packages"]["onnxruntime-openvino"] == "1.24.1"


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A matrix product, which OpenVINO has, and ai.onnx.ml's Scaler, which it has not."""
    weight = numpy_helper.from_array(np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="product"),
        helper.make_node("Scaler", ["m"], ["y"], name="scaled", domain="ai.onnx.ml", offset=[0.5], scale=[2.0]),
    ]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "half", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), str(tmp_path / "half.onnx"))
    return tmp_path / "half.onnx"


def test_a_node_that_openvino_has_not_is_refused_unless_fallback_is_allowed(envctl: Program, half: Path) -> None:
    ask = ("run", "--ort-openvino", "1.24", *HERE, "verify", half)
    ran = envctl(*ask)
    assert ran.code == 5 and "nodes ran on the CPU: scaled (Scaler)" in ran.err and "--allow-fallback" in ran.err
    allowed = envctl(*ask, "--allow-fallback", "--json").json
    assert allowed["status"] == "passed"
    assert allowed["steps"]["infer"]["read_back"]["nodes"] == "1 OpenVINO, 1 CPU"


def test_tensorrt_behind_onnxruntime_is_planned_and_refused_for_want_of_a_gpu(envctl: Program, digits: Path) -> None:
    ask = ("run", "--ort-gpu", "1.31", "--provider", "tensorrt", *HERE)
    ran = envctl(*ask, "verify", digits)
    assert ran.code == 4 and "ONNX Runtime (TensorRT) runs on an NVIDIA GPU, and none can be used here" in ran.err
    planned = envctl(*ask, "convert", digits, "--plan", "--json").json["environments"]["target"]
    assert planned["stack"]["tensorrt"]["version"].startswith("10.")
    assert planned["index"] == {"tensorrt-cu13-libs": "nvidia"}


@pytest.mark.parametrize(
    ("engine", "word"),
    [(("--ort", "1.31"), "has: no other than its own"), (("--ort-gpu", "1.31"), "has: tensorrt")],
)
def test_an_unknown_provider_is_refused(envctl: Program, digits: Path, engine: tuple[str, str], word: str) -> None:
    ran = envctl("run", *engine, "--provider", "dml", *HERE, "verify", digits)
    assert ran.code == 2 and word in ran.err


def test_tf_trt_is_gone_from_newer_tensorflows(envctl: Program) -> None:
    ran = envctl("run", "--tf", "2.20", "--provider", "tensorrt", *HERE, "convert", SAVED_MODEL)
    assert ran.code == 3 and "2.17 was the last release with it" in ran.err and "--trt" in ran.err


@pytest.mark.slow
def test_tf_trt_is_asked_by_constructing_it(envctl: Program) -> None:
    """tensorflow-cpu has the class; TensorFlow's own words are the answer, with the remedy."""
    ran = envctl("run", "--tf", "2.15", "--provider", "tensorrt", *HERE, "convert", SAVED_MODEL)
    assert ran.code == 5, ran.err
    assert "RuntimeError: Tensorflow has not been built with TensorRT support." in ran.err
    assert "GPU wheel 2.17 or older" in ran.err
