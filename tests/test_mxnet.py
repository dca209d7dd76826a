"""MXNet 1.9.1 through the real program: models of opset 12 and before; the rest is refused from the header."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran
from tests.models import padding

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
MXNET = ("--mxnet", "1.9.1", "--runner", "local")


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return padding.make_all(tmp_path_factory.mktemp("old"))["old"]


def test_a_model_of_opset_11_passes_and_keeps_its_names(envctl: Program, old: Path, tmp_path: Path) -> None:
    ran = envctl("run", *MXNET, "convert", old, "-o", "out", "--json")
    assert (ran.code, ran.json["status"], ran.json["precision"]) == (0, "passed", "fp32"), ran.out + ran.err
    assert {each["output"] for each in ran.json["verdict"]["differences"]} == {"probabilities", "gates"}
    ends = json.loads((tmp_path / "out" / "old.mxnet.ends").read_text())
    assert ends == {"inputs": ["image"], "outputs": ["probabilities", "gates"]}
    packages = ran.json["target"]["locked"]["packages"]
    assert {name: packages[name] for name in ("numpy", "onnx", "protobuf")} == {
        "numpy": "1.23.5", "onnx": "1.12.0", "protobuf": "3.20.1",
    }  # fmt: skip


def test_an_opset_and_an_operator_that_it_does_not_read_are_refused_from_the_header(
    envctl: Program, zoo: dict[str, Path], tmp_path: Path
) -> None:
    cold = str(tmp_path / "cold")
    ran = envctl("run", *MXNET, "convert", zoo["mlp"], ENVCTL_CACHE=cold)
    assert (ran.code, "needs opset <=12" in ran.err) == (3, True), ran.err
    ran = envctl("run", *MXNET, "convert", zoo["resize"], ENVCTL_CACHE=cold)
    assert (ran.code, "error: Apache MXNet 1.9.1 has no operator Resize" in ran.err) == (3, True), ran.err
    assert not (tmp_path / "cold" / "environments").exists()
