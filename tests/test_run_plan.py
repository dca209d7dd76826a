"""`envctl run … --plan` says what would be done and does nothing. The golden file: `python3 -m tests.test_run_plan`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.conftest import CACHE, ROOT, Ran, run_envctl

GOLDEN = ROOT / "tests" / "golden" / "run-plan.txt"
SMALL = Path("tests/models/small")
HERE = ("--runner", "local", "--python", "3.11")
ASKED = (
    (
        ("--litert", "2.3"),
        "convert",
        SMALL / "tensorflow/saved_model",
        "--precision",
        "int8",
        "--calibration",
        "seeded",
    ),
    (("--openvino", "2026.4"), "verify", SMALL / "engines/net.onnx", "--precision", "int8", "--calibration", "seeded"),
    (("--ort", "1.31"), "verify", SMALL / "tensorflow/saved_model", "--precision", "fp16", "--atol", "0.01"),
    (("--trt-rtx", "1.7", "--gpu", "8.9"), "convert", SMALL / "engines/net.onnx"),
    (("--openvino", "2024.6"), "infer", SMALL / "engines/net.onnx", "--precision", "bf16"),
)


def planned(cache: Path, index: int, *more: str) -> Ran:
    engine, task, model, *options = ASKED[index]
    (CACHE / "matrix").mkdir(parents=True, exist_ok=True)
    if not (cache / "matrix").exists():  # parsed facts may be shared: nothing else is there
        (cache / "matrix").symlink_to(CACHE / "matrix")
    command = ("run", *engine, *HERE, task, model, *options, "--plan", *more)
    return run_envctl(*command, cwd=ROOT, ENVCTL_CACHE=str(cache))  # type: ignore[arg-type]


def screens(cache: Path) -> str:
    found = [planned(cache, index) for index in range(len(ASKED))]
    assert all(ran.code == 0 for ran in found), [ran.err for ran in found]
    return "\n".join(ran.out for ran in found)


def test_the_screens_are_the_golden_ones_and_nothing_was_made(tmp_path: Path) -> None:
    assert screens(tmp_path) == GOLDEN.read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} <= {"matrix"}


def test_the_document_says_the_same(tmp_path: Path) -> None:
    found = planned(tmp_path, 0, "--json").json
    assert [step["step"] for step in found["steps"]] == [
        "calibration", "route", "convert", "infer", "reference", "comparison", "delivery",
    ]  # fmt: skip
    assert set(found["environments"]) == {"target", "source", "reference"}
    target = found["environments"]["target"]
    assert (target["lock"], target["made"], target["stack"]["litert"]["version"]) == (None, False, "2.3.0")
    assert found["precision"] == {"expected": "int8", "way": "written by the route (tensorflow_to_tflite)"}
    assert found["tolerance"]["cosine"] == 0.85 and found["status"] == "planned"


@pytest.mark.engines
def test_what_was_made_before_is_told(digits: Path) -> None:
    ask = ("run", "--ort", "1.31", *HERE, "verify", digits)
    done = run_envctl(*ask, "--json").json
    told = run_envctl(*ask, "--plan", "--json").json["environments"]
    for role in ("target", "reference"):
        assert (told[role]["lock"], told[role]["made"]) == (done[role]["locked"]["lock"], True)


def test_what_would_fail_fails(tmp_path: Path) -> None:
    command = ("run", "--ncnn", "1.0", *HERE, "verify", SMALL / "engines/net.onnx", "--precision", "int8", "--plan")
    ran = run_envctl(*command, cwd=ROOT, ENVCTL_CACHE=str(tmp_path))
    assert (ran.code, ran.out) == (2, "") and "ncnn2int8" in ran.err


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(screens(Path(folder)), encoding="utf-8")


@pytest.mark.parametrize("task", ["verify", "convert"])
def test_an_opset_that_nobody_writes_is_no_stack(task: str) -> None:
    """tf2onnx's opsets come from the matrix: while only routes' own lists were looked at, this was a traceback."""
    model = ROOT / SMALL / "keras/functional.3.keras"
    ran = run_envctl("run", "--ort", "1.31", *HERE, task, model, "--opset", "30")
    assert ran.code == 3 and "does not write opset 30" in ran.err and "18" in ran.err
