"""ncnn through the real program: what pnnx leaves out is caught, what it converts is right, precisions are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran
from tests.models import padding

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
NCNN = ("--ncnn", "1.0.20261020", "--runner", "local")


@pytest.fixture(scope="session")
def padded(models: Path) -> dict[str, Path]:
    return padding.make_all(models / "padding")


def test_ncnn_converts_digits_and_says_which_blob_is_which(envctl: Program, digits: Path, tmp_path: Path) -> None:
    ran = envctl("run", *NCNN, "convert", digits, "-o", "out", "--json")
    assert (ran.code, ran.json["status"], ran.json["precision"]) == (0, "passed", "fp32"), ran.err
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        f"digits.ncnn.{e}" for e in ("param", "bin", "json", "envctl.json")
    }
    assert (out / "digits.ncnn.param").read_text().startswith("7767517\n")
    ends = json.loads((out / "digits.ncnn.json").read_text())
    assert ends["inputs"] == [{"name": "image", "blob": "in0", "shape": [1, 1, 8, 8], "batch": 0}]
    assert ends["outputs"] == [{"name": "probabilities", "blob": "out0", "shape": [1, 10], "batch": 0}]
    assert ran.json["steps"]["convert"]["read_back"] == {"pnnx": "20261020", "weights": "fp32"}
    # pnnx is there, and not what its Python wrapper wants
    packages = ran.json["target"]["locked"]["packages"]
    assert {"ncnn", "pnnx", "onnxslim", "onnx", "numpy"} <= set(packages)
    assert not {"torch", "requests", "opencv-python"} & set(packages)


def test_paddings_that_pnnx_would_leave_out_are_folded_first(envctl: Program, padded: dict[str, Path]) -> None:
    ran = envctl("run", *NCNN, "verify", padded["foldable"], "--json")
    assert (ran.code, ran.json["status"]) == (0, "passed"), ran.out + ran.err


@pytest.mark.parametrize("net", ["repeated", "unsaid"])
def test_what_pnnx_would_leave_out_is_written_otherwise_first(
    envctl: Program, padded: dict[str, Path], net: str
) -> None:
    """Tiles of five axes, and Pads that do not say their mode."""
    ran = envctl("run", *NCNN, "verify", padded[net], "--json")
    assert (ran.code, ran.json["status"]) == (0, "passed"), ran.out + ran.err


def test_what_pnnx_leaves_out_with_exit_code_0_is_a_failure(
    envctl: Program, padded: dict[str, Path], zoo: dict[str, Path], own_cache: Path
) -> None:
    ran = envctl("run", *NCNN, "infer", padded["left_over"], ENVCTL_CACHE=str(own_cache))
    assert ran.code == 5
    assert "Pad Pad_1, attribute pads=(1,0,0,0,0,0,0,0): pnnx has no rule for it, and left it out" in ran.err
    ran = envctl("run", *NCNN, "infer", zoo["lstm"], ENVCTL_CACHE=str(own_cache))
    assert (ran.code, "LSTM LSTM_0, attribute hidden_size=16: pnnx" in ran.err) == (5, True)


def test_a_type_that_ncnn_has_not_is_refused_from_the_header(
    envctl: Program, zoo: dict[str, Path], tmp_path: Path
) -> None:
    ran = envctl("run", *NCNN, "convert", zoo["tokens"], "-o", "out", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert ran.code == 3
    assert "error: ncnn cannot take or give int64 (tokens)" in ran.err
    assert "tokens.onnx has tokens int64[1,16]" in ran.err
    assert not (tmp_path / "cold" / "environments").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "weights", "storage"), [("fp16", "fp16", "fp32"), ("bf16", "fp32", "bf16")])
def test_precisions_are_read_back(envctl: Program, digits: Path, precision: str, weights: str, storage: str) -> None:
    ran = envctl("run", *NCNN, "verify", digits, "--precision", precision, "--json")
    assert (ran.code, ran.json["precision"]) == (0, precision), ran.err
    said = ran.json["steps"]["infer"]["read_back"]
    assert (said["weights"], said["storage"]) == (weights, storage)
    assert ran.json["verdict"]["differences"][0]["max_abs"] > 1e-4  # it really was another precision


@pytest.mark.slow
def test_fp16_of_a_model_without_weights_is_not_claimed(
    envctl: Program, padded: dict[str, Path], own_cache: Path
) -> None:
    ran = envctl("run", *NCNN, "verify", padded["bare"], "--precision", "fp16", ENVCTL_CACHE=str(own_cache))
    assert (ran.code, "asked for fp16, but fp32 ran" in ran.err) == (4, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bare", "batched"])
def test_no_weights_and_a_batch_of_four_pass(envctl: Program, padded: dict[str, Path], name: str) -> None:
    ran = envctl("run", *NCNN, "verify", padded[name], "--json")
    assert (ran.code, ran.json["status"]) == (0, "passed"), ran.out + ran.err


@pytest.mark.slow
def test_a_sum_over_the_batch_is_refused(envctl: Program, padded: dict[str, Path], own_cache: Path) -> None:
    ran = envctl("run", *NCNN, "infer", padded["summed"], ENVCTL_CACHE=str(own_cache))
    assert (ran.code, "along batch axis is not supported" in ran.err) == (5, True), ran.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mlp", "asymmetric", "unet", "resize", "two_inputs", "two_outputs", "dynamic", "nhwc"]
)
def test_small_models_pass(envctl: Program, zoo: dict[str, Path], name: str) -> None:
    ran = envctl("run", *NCNN, "verify", zoo[name], "--json")
    assert (ran.code, ran.json["status"]) == (0, "passed"), ran.out + ran.err


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.usefixtures("docker_base")
def test_ncnn_converts_in_docker(envctl: Program, mobilenet: Path) -> None:
    ran = envctl("run", *NCNN[:2], "--runner", "docker", "verify", mobilenet, "--json")
    assert (ran.code, ran.json["runner"]["name"]) == (0, "docker"), ran.err


@pytest.mark.slow
def test_an_older_ncnn_whose_binding_wants_opencv_runs_without_it(envctl: Program, digits: Path) -> None:
    ran = envctl("run", "--ncnn", "1.0.20250503", "--runner", "local", "verify", digits, "--json")
    assert (ran.code, ran.json["status"]) == (0, "passed"), ran.out + ran.err
