"""LiteRT's adapter through the job protocol, on models of every precision: what ran is read from the loaded tensors."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envctl.job import Result
from tests.engine_jobs import do, prepared

pytestmark = pytest.mark.engines
MAKER = Path(__file__).parent / "models" / "tflite.py"
X = np.random.default_rng(1).standard_normal((3, 1, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def files(models: Path) -> Path:
    """fp32, fp16, dynamic, int8 and custom, made with the environment's own schema."""
    folder = models / "tflite"
    folder.mkdir()
    subprocess.run([prepared("litert", "2.3").environment.python, MAKER, folder], check=True, capture_output=True)
    return folder


def run(files: Path, name: str, folder: Path, x: Any = X, **options: Any) -> Result:
    return do("infer", prepared("litert", "2.3"), folder, files / f"{name}.tflite", {"x": x}, **options)


@pytest.mark.parametrize(
    ("name", "precision", "limits"),
    [("fp32", "fp32", (0, 1e-5)), ("fp16", "fp16", (1e-5, 1e-2)), ("dynamic", "int8", (1e-3, 0.1))],
)
def test_the_answer_is_right_and_the_precision_is_read(
    files: Path, tmp_path: Path, name: str, precision: str, limits: tuple[float, float]
) -> None:
    result = run(files, name, tmp_path / "job")
    assert result.ok, result.message
    stored = np.load(files / "weights.npz")
    error = np.abs(np.load(result.outputs[0].file) - (X @ stored["w"].T + stored["b"])).max()
    assert limits[0] <= error <= limits[1]
    assert result.read_back["precision"] == precision
    assert result.read_back.get("quantisation") == ("dynamic range" if name == "dynamic" else None)
    assert result.versions["ai-edge-litert"] == prepared("litert", "2.3").environment.lock.version("ai-edge-litert")


def test_a_wholly_quantised_model_takes_and_gives_int8(files: Path, tmp_path: Path) -> None:
    result = run(files, "int8", tmp_path / "job", np.round(X / 0.05).clip(-128, 127).astype(np.int8))
    assert (result.read_back["precision"], result.read_back["quantisation"]) == ("int8", "full"), result.message
    stored = np.load(files / "weights.npz")
    answer = np.load(result.outputs[0].file)
    assert answer.dtype == np.int8
    assert np.abs(answer * 0.1 - (X @ stored["w"].T + stored["b"])).max() < 0.15


def test_the_reference_computes_without_a_delegate(files: Path, tmp_path: Path) -> None:
    assert run(files, "fp32", tmp_path / "usual").read_back["delegate"] == "XNNPACK"
    assert run(files, "fp32", tmp_path / "plain", optimise=False).read_back["delegate"] == "none"


def test_a_size_that_is_left_open_is_that_of_the_input(files: Path, tmp_path: Path) -> None:
    result = run(files, "fp32", tmp_path / "job", X.reshape(1, 3, 8))
    assert np.load(result.outputs[0].file).shape == (1, 3, 4)
    result = run(files, "fp32", tmp_path / "wrong", X.reshape(3, 2, 4))
    assert (result.status, "cannot have these sizes" in result.message) == ("unsupported", True)


def test_conversion_is_the_same_bytes_once_they_were_loaded(files: Path, tmp_path: Path) -> None:
    result = do("convert", prepared("litert", "2.3"), tmp_path / "job", files / "fp16.tflite")
    assert result.artifacts[0].read_bytes() == (files / "fp16.tflite").read_bytes()
    assert result.read_back["weights"] == "fp16"


def test_what_cannot_be_loaded_is_said(files: Path, tmp_path: Path) -> None:
    result = do("convert", prepared("litert", "2.3"), tmp_path / "custom", files / "custom.tflite")
    assert (result.status, "NobodyHasThis" in result.message) == ("unsupported", True)
    (tmp_path / "cut.tflite").write_bytes((files / "fp32.tflite").read_bytes()[:100])
    result = do("convert", prepared("litert", "2.3"), tmp_path / "cut", tmp_path / "cut.tflite")
    assert not result.ok
    assert result.status in ("invalid-model", "killed")
