"""What is done to tf2onnx's graphs, on graphs of that form; the conversions themselves: tests/test_source_routes.py."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from envctl.runner import WORKER


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The worker's module, as the worker imports it."""
    monkeypatch.syspath_prepend(str(WORKER))
    return importlib.import_module("adapters.tensorflow_to_onnx")


def upsampling(scales: list[float]) -> onnx.ModelProto:
    """Resize as tf2onnx writes Keras' UpSampling2D."""
    said = {"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], **said)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("x", "y")]
    stored = [numpy_helper.from_array(np.array(scales, np.float32), "scales")]
    graph = helper.make_graph([node], "upsampling", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answer(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.parametrize("scales", [[1, 1, 2, 2], [1, 1, 3, 5], [1, 1, 7, 1]])
def test_upsampling_by_whole_numbers_takes_the_same_pixels_in_the_plain_form(
    adapter: ModuleType, scales: list[float]
) -> None:
    model, x = upsampling(scales), np.random.default_rng(0).random((1, 2, 6, 9), np.float32)
    before = answer(model, x)
    adapter.plain_upsampling(model.graph)
    said = {each.name: each.s for each in model.graph.node[0].attribute}
    assert said["coordinate_transformation_mode"] == b"asymmetric"
    assert np.array_equal(before, answer(model, x))
    assert np.array_equal(before, x.repeat(int(scales[2]), 2).repeat(int(scales[3]), 3))


@pytest.mark.parametrize("scales", [[1, 1, 1.5, 2], [1, 1, 0.5, 0.5]])
def test_other_scales_keep_their_form(adapter: ModuleType, scales: list[float]) -> None:
    model = upsampling(scales)
    before = model.SerializeToString()
    adapter.plain_upsampling(model.graph)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("text", ["Could not allocate bytes object!", "std::bad_alloc", "OOM: out of memory"])
def test_words_for_want_of_memory_are_known(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.syspath_prepend(str(WORKER))
    assert importlib.import_module("failure").kind_of(RuntimeError(text)) == "out-of-memory"
