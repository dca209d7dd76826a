"""Bad input: one error that says what, because and do, quickly, with nothing half-made left behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran
from tests.models import digits as digits_model

Program = Callable[..., Ran]
ORT = ("--ort", "1.31", "--runner", "local")
OPENVINO = ("--openvino", "2026.4", "--runner", "local")
# name -> exit code, words of the error; none of these is let near an engine
FORESEEN: dict[str, tuple[int, tuple[str, ...]]] = {
    "truncated": (2, ("truncated", "download")),
    "html": (2, ("HTML",)),
    "lfs_pointer": (2, ("Git LFS", "git lfs pull")),
    "empty": (2, ("is empty",)),
    "random_bytes": (2, ("no model of a format that envctl reads",)),
    "opset_too_high": (3, ("here opset is 99", "header of model.onnx", "opset >=7")),
    "ir_too_high": (3, ("here ir is 99", "header of model.onnx", "ir >=3")),
    "custom_op": (3, ("com.acme:MyOp",)),
    "external_missing": (2, ("lost.bin", "missing")),
    "external_escaping": (2, ("outside its folder", "../../etc/passwd")),
    "external_absolute": (2, ("outside its folder", "/etc/passwd")),
    "pickled": (2, ("no way from pickle to onnx", "opens none")),
    "zipped": (2, ("zip archive",)),
    "huge_claim": (2, ("2147483647 bytes",)),
    "deep": (2, ("nested",)),
}
PASSES_OR_IS_JUDGED = {"local_function", "constant_output", "all_nan", "external"}


def assert_one_error(ran: Ran, code: int, *words: str) -> None:
    """What, because, do: one `error:` line, these words, a way out, no traceback."""
    assert ran.code == code, ran.err
    assert sum(line.startswith("error:") for line in ran.err.splitlines()) == 1, ran.err
    assert any(line.startswith("hint:") for line in ran.err.splitlines()), ran.err
    assert "Traceback" not in ran.err + ran.out
    for word in words:
        assert word in ran.err


def assert_nothing_made(folder: Path) -> None:
    """No output, and in a cold cache no environment, no lock and no job."""
    assert not (folder / "out").exists()
    assert {path.name for path in (folder / "cold").glob("*")} <= {"matrix"}


def test_every_bad_model_has_its_test(bad: dict[str, Path]) -> None:
    assert set(bad) == set(FORESEEN) | PASSES_OR_IS_JUDGED


@pytest.mark.parametrize("name", FORESEEN)
def test_bad_model_is_known_from_its_header(envctl: Program, bad: dict[str, Path], tmp_path: Path, name: str) -> None:
    code, words = FORESEEN[name]
    ran = envctl("run", *ORT, "convert", bad[name], "-o", "out", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert_one_error(ran, code, *words)
    assert_nothing_made(tmp_path)


def test_header_above_every_reference(envctl: Program, bad: dict[str, Path], tmp_path: Path) -> None:
    """OpenVINO states no ceiling, but what it made could not be compared with anything."""
    ran = envctl("run", *OPENVINO, "convert", bad["ir_too_high"], "-o", "out", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert_one_error(ran, 3, "reference", *FORESEEN["ir_too_high"][1], "--no-verify")
    assert_nothing_made(tmp_path)


def test_an_opset_that_onnx_has_not(envctl: Program, bad: dict[str, Path], tmp_path: Path) -> None:
    ran = envctl("run", *OPENVINO, "convert", bad["opset_too_high"], "-o", "out", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert_one_error(ran, 2, "opset 99, which ONNX has not")
    assert_nothing_made(tmp_path)


def test_missing_file_and_folder(envctl: Program, tmp_path: Path) -> None:
    cold = str(tmp_path / "cold")
    ran = envctl("run", *ORT, "convert", "no.onnx", "-o", "out", ENVCTL_CACHE=cold)
    assert_one_error(ran, 2, "no such file: no.onnx")
    ran = envctl("run", *ORT, "convert", str(tmp_path), "-o", "out", ENVCTL_CACHE=cold)
    assert_one_error(ran, 2, "is a folder")
    assert_nothing_made(tmp_path)


def test_opset_above_the_asked_for_runtime_names_one_that_can(envctl: Program, tmp_path: Path) -> None:
    model = digits_model.make(tmp_path / "digits21.onnx", opset=21)
    pins = ("--ort", "1.17", "--runner", "local")
    ran = envctl("run", *pins, "convert", model, "-o", "out", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert_one_error(ran, 3, "here opset is 21", "onnxruntime 1.17", "with onnxruntime 1.18.0 instead of --ort 1.17")
    assert_nothing_made(tmp_path)


@pytest.mark.engines
@pytest.mark.parametrize("name", ["constant_output", "all_nan"])
@pytest.mark.parametrize("pins", [ORT, OPENVINO], ids=["ort", "openvino"])
def test_reference_that_proves_nothing_is_refused(
    envctl: Program, bad: dict[str, Path], tmp_path: Path, name: str, pins: tuple[str, ...]
) -> None:
    ran = envctl("run", *pins, "convert", bad[name], "-o", "out", "--json")
    assert (ran.code, ran.json["status"], ran.json["artifacts"]) == (1, "refused", [])
    assert {"constant_output": "does not respond", "all_nan": "all NaN"}[name] in ran.json["note"]
    assert not (tmp_path / "out").exists()


@pytest.mark.engines
def test_operator_that_the_model_defines_itself_is_no_custom_operator(envctl: Program, bad: dict[str, Path]) -> None:
    ran = envctl("run", *ORT, "verify", bad["local_function"])
    assert ran.code == 0, ran.err


@pytest.mark.engines
def test_operator_that_the_engine_lacks_is_named(envctl: Program, bad: dict[str, Path], own_cache: Path) -> None:
    """OpenVINO reads no model-local functions: its own words, the folder of the job, and how to do it again."""
    ran = envctl("run", *OPENVINO, "verify", bad["local_function"], ENVCTL_CACHE=str(own_cache))
    assert_one_error(ran, 5, "com.acme:MyOp", "unsupported", "reproduce.sh")
    (folder,) = (own_cache / "jobs").iterdir()
    assert (folder / "convert" / "reproduce.sh").is_file()


@pytest.mark.engines
@pytest.mark.parametrize(
    ("pins", "runner", "made"),
    [
        (("--ort", "1.17"), "local", "model.ort.onnx"),
        (("--ort", "1.31"), "local", "model.ort.onnx"),
        (("--openvino", "2026.4"), "local", "model.openvino.xml"),
        pytest.param(("--ort", "1.31"), "docker", "model.ort.onnx", marks=pytest.mark.docker),
        pytest.param(("--openvino", "2026.4"), "docker", "model.openvino.xml", marks=pytest.mark.docker),
    ],
    ids=["ort-1.17", "ort-1.31", "openvino", "ort-1.31-docker", "openvino-docker"],
)
def test_weights_beside_the_model(
    envctl: Program,
    bad: dict[str, Path],
    tmp_path: Path,
    pins: tuple[str, ...],
    runner: str,
    made: str,
    request: pytest.FixtureRequest,
) -> None:
    """The copy brings its weights: it is read from a folder of its own, after the source is gone."""
    if runner == "docker":
        request.getfixturevalue("docker_base")
    shutil.copytree(bad["external"].parent, tmp_path / "source")
    given = ("run", *pins, "--runner", runner, "convert", tmp_path / "source" / "model.onnx", "-o", "out", "--json")
    ran = envctl(*given)
    assert ran.code == 0, ran.err
    assert list(ran.json["model"]["external"]) == ["weights.bin"]
    shutil.rmtree(tmp_path / "source")
    assert (tmp_path / "out" / made).is_file()
    if made.endswith(".onnx"):
        from tests.models.graph import feeds, flow

        assert flow(tmp_path / "out" / made, feeds(tmp_path / "out" / made))[0].shape == (1, 4)


def test_reference_with_other_inputs(envctl: Program, bad: dict[str, Path], digits: Path, tmp_path: Path) -> None:
    given = ("run", *ORT, "convert", digits, "--reference", bad["external"], "-o", "out")
    ran = envctl(*given, ENVCTL_CACHE=str(tmp_path / "cold"))
    assert_one_error(ran, 2, "--reference", "image float32[?,1,8,8]", "x float32[1,16]")
    assert_nothing_made(tmp_path)


# ---- the command line


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--ort", "1.31", "--openvino", "2026.4"), 2, ("--ort and --openvino", "one run has one engine")),
        ((), 2, ("no engine was named", "--openvino")),
        (("--cuda", "12.1"), 2, ("no engine was named",)),
        (("--ort", "1.9999"), 3, ("1.9999", "1.31.")),
        (("--openvino", "2025.99"), 3, ("2025.99", "2026.4.")),
        (("--openvino", "newest"), 2, ("'newest' is not a version",)),
        (("--tf", "2.12"), 2, ("no way from onnx to", "saved-model")),
        ((*ORT, "--pin", "numpy"), 2, ("NAME=SPEC",)),
        ((*ORT, "--pin", "onnxruntime=1.31"), 2, ("pinned twice",)),
        (("--ort", "1.31", "--runner", "podman"), 2, ("'podman'", "docker, local")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_pins_that_cannot_be_used(
    envctl: Program, digits: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    ran = envctl("run", *arguments, "convert", digits, "-o", "out", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert_one_error(ran, code, *words)
    assert_nothing_made(tmp_path)


@pytest.mark.engines
def test_typing_error_in_a_pin_costs_no_environment(envctl: Program, digits: Path, tmp_path: Path) -> None:
    cold = tmp_path / "cold"
    ran = envctl("run", *ORT, "--pin", "nunpy=1.26", "convert", digits, "-o", "out", ENVCTL_CACHE=str(cold))
    assert_one_error(ran, 2, "'nunpy'", "numpy")
    assert not (cold / "environments").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("image=1,3,8,8", ("does not fit", "[?,1,8,8]")),
        ("imag=1,1,8,8", ("imag", "its inputs: image")),
        ("image=1,1,8", ("does not fit",)),
        ("image=0,1,8,8", ("positive",)),
        ("image", ("NAME=",)),
    ],
)
def test_shape_that_the_model_has_not(
    envctl: Program, digits: Path, tmp_path: Path, shape: str, words: tuple[str, ...]
) -> None:
    ran = envctl("run", *ORT, "convert", digits, "--shape", shape, "-o", "out", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert_one_error(ran, 2, *words)
    assert_nothing_made(tmp_path)


@pytest.mark.docker
@pytest.mark.engines
@pytest.mark.skipif(os.getuid() != 0, reason="only root's containers run as another user")
@pytest.mark.usefixtures("docker_base")
def test_model_that_the_containers_user_may_not_read(
    envctl: Program, digits: Path, tmp_path: Path, own_cache: Path
) -> None:
    closed = tmp_path / "closed.onnx"
    closed.write_bytes(digits.read_bytes())
    closed.chmod(0o600)
    ran = envctl("run", "--ort", "1.31", "--runner", "docker", "verify", closed, ENVCTL_CACHE=str(own_cache))
    assert_one_error(ran, 4, "may not read", "chmod o+r", "--runner local")
