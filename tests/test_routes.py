"""The table of routes: which way a format goes to an engine, and that its names are names that exist."""

from __future__ import annotations

from typing import get_args

import pytest

from envctl import matrix, routes, spec
from envctl.errors import BadInput
from envctl.model.facts import Format
from envctl.runner import WORKER

TENSORFLOW = ("saved-model", "graph-def", "keras", "keras-h5")


def test_the_table_names_what_exists() -> None:
    formats, engines = set(get_args(Format)), spec.engines()
    for route in routes.routes():
        assert {*route.formats, route.to} <= formats
        assert route.engine in engines
        assert (WORKER / "adapters" / f"{route.adapter}.py").is_file()
        assert not route.writer or matrix.load().has(route.writer)
        assert route.source.startswith(("https://", "measured:"))


def test_what_a_framework_wrote_is_judged_by_the_framework() -> None:
    assert routes.reference_engine("onnx") == "onnxruntime"
    assert {routes.reference_engine(each) for each in TENSORFLOW} == {"tensorflow"}
    with pytest.raises(BadInput, match="no engine can be the reference") as refused:
        routes.reference_engine("tensorrt-plan")
    assert "--no-verify" in refused.value.do[-1]


@pytest.mark.parametrize("model", TENSORFLOW)
def test_tensorflow_goes_to_onnx_runtime_through_onnx(model: str) -> None:
    found = routes.find(model, frozenset({"onnx"}))
    assert found
    assert (found.to, found.engine, found.writer) == ("onnx", "tensorflow", "tf2onnx")


def test_what_an_engine_reads_takes_no_route_unless_one_is_asked_for() -> None:
    readable = frozenset({"onnx", "saved-model"})
    assert routes.find("saved-model", readable) is None
    assert routes.find("onnx", readable, to="onnx") is None
    asked = routes.find("saved-model", readable, to="onnx")
    assert asked
    assert asked.to == "onnx"


def test_no_way_names_the_ways_there_are() -> None:
    with pytest.raises(BadInput, match="no way from keras to ncnn") as refused:
        routes.find("keras", frozenset({"ncnn"}))
    assert refused.value.do == ["formats that it can be converted to: onnx, tflite"]
    with pytest.raises(BadInput, match="no way from pickle to onnx") as refused:
        routes.find("pickle", frozenset({"onnx"}))
    assert refused.value.do == [routes.EXPORT]


def test_which_formats_a_release_reads_depends_on_the_release() -> None:
    openvino = spec.read_spec("openvino")
    assert "saved-model" not in openvino.readable("2022.3.2")
    assert {"saved-model", "graph-def", "onnx"} <= openvino.readable("2023.1.0")
    assert "tflite" not in openvino.readable("2023.1.0")
    assert "tflite" in openvino.readable("2026.4.1")
    assert "keras" not in openvino.every_format()
