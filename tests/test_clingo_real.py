"""The solver against clingo on the real matrix: verdict, versions and proof of a few questions that people ask."""

from __future__ import annotations

import pytest

from envctl.matrix import load
from envctl.request import Known, Request
from tests import solver_worlds as worlds
from tests.test_clingo import CHECKS, both

REAL = [
    ("tensorrt", {"tensorrt": "8.6"}, {"driver": "525.85.12", "gpu": "8.6", "python": "3.10"}),
    ("tensorrt", {"tensorrt": "8.6"}, {"driver": "390.12", "gpu": "8.6", "python": "3.10"}),
    ("tensorrt", {"tensorrt": "10.7", "cuda": "11.4"}, {"python": "3.11"}),
    ("tensorrt", {}, {"driver": "470.82", "gpu": "7.5"}),
    ("tensorflow", {"tensorflow": "2.17"}, {"driver": "470.82", "gpu": "8.0", "python": "3.11"}),
    ("tensorflow", {"cuda": "11.8"}, {"python": "3.11"}),
    ("onnxruntime-gpu", {"onnxruntime-gpu": "1.17"}, {"gpu": "8.9", "opset": "19"}),
    ("onnxruntime", {"onnxruntime": "1.17"}, {"opset": "21"}),
    ("tf2onnx", {"tf2onnx": ">=1.14", "tensorflow": "<2.16"}, {"python": "3.11"}),
]


@pytest.mark.parametrize(("engine", "pins", "facts"), REAL)
def test_the_real_matrix(engine: str, pins: dict[str, str], facts: dict[str, str]) -> None:
    """Real questions, small enough for both; facts that are not given are open."""
    matrix = load()
    hosts = [name for name in matrix.names() if matrix.component(name).kind in ("host", "model")]
    request = Request(
        engine=engine,
        pins=tuple(worlds.pin(name, spec) for name, spec in pins.items()),
        known={name: Known(values=(value,), origin="test") for name, value in facts.items()},
        deferred=frozenset(hosts) - set(facts),
        on_gpu="gpu" in facts,
    )
    found = both(f"{engine} {pins} {facts}", matrix, request)
    for check in CHECKS:
        check(found)
