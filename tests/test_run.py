"""The main job through the real program: real engines, both runners, real models."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envctl.verify.tolerance import ROWS
from tests.conftest import Ran
from tests.models import digits as digits_model

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
ENGINES = [("--openvino", "2024.6"), ("--openvino", "2026.4"), ("--ort", "1.17"), ("--ort", "1.31")]
RUNNERS = ["local", pytest.param("docker", marks=pytest.mark.docker)]
OPENVINO = ("--openvino", "2026.4", "--runner", "local")
ORT = ("--ort", "1.31", "--runner", "local")


@pytest.fixture(autouse=True)
def _docker_when_asked_for(request: pytest.FixtureRequest) -> None:
    """Tests marked docker need the base image."""
    if request.node.get_closest_marker("docker"):
        request.getfixturevalue("docker_base")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(("option", "version"), ENGINES)
def test_digits_pass_and_the_sidecar_says_how(
    envctl: Program, digits: Path, tmp_path: Path, option: str, version: str, runner: str
) -> None:
    ran = envctl("run", option, version, "--runner", runner, "convert", digits, "-o", "out", "--json")
    assert ran.code == 0, ran.err
    result = ran.json
    assert (result["status"], result["runner"]["name"], result["precision"]) == ("passed", runner, "fp32")
    assert everything_in(tmp_path / "out") == {Path(path).name for path in result["artifacts"]}
    check_sidecar(tmp_path / "out" / f"digits.{option[2:]}.envctl.json", digits, version, result)


def check_sidecar(path: Path, source: Path, version: str, result: dict[str, Any]) -> None:
    """The sidecar's every statement against the thing it is about."""
    note = json.loads(path.read_text())
    assert note["model"]["sha256"] == sha256(source)
    kept = sorted(file.name for file in path.parent.iterdir() if file != path)
    assert note["files"] == {name: sha256(path.parent / name) for name in kept}
    lock = Path(result["target"]["locked"]["environment"], "lock.json")
    assert note["lock"] == sha256(lock)
    locked = {package["name"]: package["version"] for package in json.loads(lock.read_text())["packages"]}
    assert note["packages"] == locked
    assert locked[note["engine"]].startswith(f"{version}.")
    for step in ("convert", "infer"):
        assert note["steps"][step]["versions"][note["engine"]].startswith(locked[note["engine"]])
        assert note["steps"][step]["versions"]["numpy"] == locked["numpy"]
    assert (note["status"], note["precision"], note["verdict"]["status"]) == ("passed", "fp32", "passed")
    assert (note["host"]["arch"], note["host"]["kernel"]) == (platform.machine(), platform.release())
    assert note["host"]["cpu"] and int(note["host"]["memory"]) > 1 << 28


@pytest.mark.docker
@pytest.mark.parametrize(("option", "version"), ENGINES)
def test_both_runners_give_the_same_lock_and_the_same_bits(
    envctl: Program, digits: Path, tmp_path: Path, option: str, version: str
) -> None:
    answers, locks = [], []
    for runner in ("local", "docker"):
        pins = (option, version, "--python", "3.11", "--runner", runner)
        ran = envctl("run", *pins, "infer", digits, "-o", f"{runner}.npz", "--json")
        assert ran.code == 0, ran.err
        assert ran.json["runner"]["name"] == runner
        locks.append(ran.json["target"]["locked"]["lock"])
        answers.append(dict(np.load(tmp_path / f"{runner}.npz")))
    assert locks[0] == locks[1]
    assert list(answers[0]) == list(answers[1]) == ["probabilities"]
    np.testing.assert_array_equal(answers[0]["probabilities"], answers[1]["probabilities"])


@pytest.mark.parametrize("version", ["2024.6", "2026.4"])
def test_mobilenet_passes(envctl: Program, mobilenet: Path, version: str) -> None:
    ran = envctl("run", "--openvino", version, "--runner", "local", "verify", mobilenet, "--json")
    assert (ran.code, ran.json["status"]) == (0, "passed"), ran.err
    assert ran.json["verdict"]["differences"][0]["shape"] == [1, 1000]


def test_report_shows_what_a_person_wants_to_know(envctl: Program, digits: Path) -> None:
    ran = envctl("run", *OPENVINO, "convert", digits, "-o", "out")
    lines = ran.out.splitlines()
    assert lines[0].startswith("PASSED")
    assert sha256(digits)[:12] in ran.out
    for words in ("fp32 (read back)", "precision fp32", "OpenVINO 2026.4.", "ONNX Runtime (CPU)", "local (asked for)"):
        assert words in ran.out
    wrote = [line.split()[-1] for line in lines if line.split()[:1] == ["wrote"]]
    assert wrote == ["out/digits.openvino.xml", "out/digits.openvino.bin", "out/digits.openvino.envctl.json"]


def test_fp16_is_judged_by_its_own_row(envctl: Program, digits: Path, tmp_path: Path) -> None:
    ran = envctl("run", *OPENVINO, "convert", digits, "--precision", "fp16", "-o", "out", "--json")
    assert (ran.code, ran.json["status"], ran.json["precision"]) == (0, "passed", "fp16"), ran.err
    assert ran.json["verdict"]["tolerance"]["max_abs"] == ROWS["fp16"].max_abs
    assert ran.json["steps"]["infer"]["read_back"]["weights"] == "f16"
    error = ran.json["verdict"]["differences"][0]["max_abs"]
    assert (ROWS["fp32"].max_abs or 0) < error, "weights of fp16 cannot pass for fp32"
    assert (tmp_path / "out" / "digits.openvino.bin").stat().st_size < digits.stat().st_size * 0.7


def test_bf16_really_runs_or_is_refused(envctl: Program, digits: Path, tmp_path: Path) -> None:
    """Some CPUs have it, some plugins emulate it, others compute in something else: never in silence."""
    plain = envctl("run", *OPENVINO, "infer", digits, "-o", "fp32.npz")
    assert plain.code == 0, plain.err
    ran = envctl("run", *OPENVINO, "infer", digits, "--precision", "bf16", "-o", "bf16.npz", "--json")
    if ran.code == 4:
        assert "asked for bf16" in ran.json["error"]["what"]
        assert not (tmp_path / "bf16.npz").exists()
        return
    assert (ran.code, ran.json["precision"]) == (0, "bf16"), ran.err
    before, after = (np.load(tmp_path / f"{name}.npz")["probabilities"] for name in ("fp32", "bf16"))
    assert np.abs(before - after).max() > 1e-3, "bf16 keeps eight bits: these answers are float32's"


@pytest.mark.parametrize(("pins", "precision"), [(OPENVINO, "int8"), (ORT, "bf16"), (OPENVINO, "fp12")])
def test_precision_an_engine_cannot_be_asked_for(
    envctl: Program, digits: Path, pins: tuple[str, ...], precision: str
) -> None:
    ran = envctl("run", *pins, "convert", digits, "--precision", precision)
    assert ran.code == 2
    assert precision in ran.err


def test_no_verify_converts_and_says_so(envctl: Program, digits: Path, tmp_path: Path) -> None:
    ran = envctl("run", *OPENVINO, "convert", digits, "--no-verify", "-o", "out")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("CONVERTED")
    assert "not verified" in ran.out
    note = json.loads((tmp_path / "out" / "digits.openvino.envctl.json").read_text())
    assert (note["status"], note["verdict"]) == ("converted", None)


def test_verify_writes_nothing(envctl: Program, digits: Path, tmp_path: Path, own_cache: Path) -> None:
    before = everything_in(tmp_path)
    ran = envctl("run", *OPENVINO, "verify", digits, ENVCTL_CACHE=str(own_cache))
    assert ran.code == 0, ran.err
    assert everything_in(tmp_path) - before <= {"cache/jobs"}


def test_keep_keeps_a_job_that_can_be_done_again(envctl: Program, digits: Path, own_cache: Path) -> None:
    ran = envctl("run", *ORT, "infer", digits, "--keep", "--json", ENVCTL_CACHE=str(own_cache))
    folder = Path(ran.json["folder"])
    assert folder.parent == own_cache / "jobs"
    result = folder / "infer" / "result.json"
    before = json.loads(result.read_text())["outputs"]
    result.unlink()
    subprocess.run([folder / "infer" / "reproduce.sh"], check=True)
    assert json.loads(result.read_text())["outputs"] == before


@pytest.mark.parametrize("force", [False, True])
def test_files_of_others_are_not_overwritten(envctl: Program, digits: Path, tmp_path: Path, force: bool) -> None:
    (tmp_path / "digits.ort.onnx").write_text("mine")
    ran = envctl("run", *ORT, "convert", digits, "-o", ".", *(["--force"] if force else []))
    assert ran.code == (0 if force else 2)
    assert ((tmp_path / "digits.ort.onnx").read_bytes() == b"mine") is not force
    assert ("--force" in ran.err) is not force


def test_own_files_are_overwritten(envctl: Program, digits: Path) -> None:
    for samples in ("2", "3"):
        ran = envctl("run", *ORT, "convert", digits, "-o", "out", "--samples", samples)
        assert ran.code == 0, ran.err


def test_infer_answers_as_the_trained_network_does(envctl: Program, digits: Path, tmp_path: Path) -> None:
    """The oracle is the training code's own forward pass in numpy, on held-out pictures."""
    images, labels = digits_model.samples(40)
    np.savez(tmp_path / "in.npz", image=images)
    ran = envctl("run", *OPENVINO, "infer", digits, "--input", "in.npz", "-o", "out.npz")
    assert ran.code == 0, ran.err
    answer = np.load(tmp_path / "out.npz")["probabilities"].reshape(40, 10)
    expected = digits_model.forward(digits_model.train(), images)["p"]
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    assert (answer.argmax(axis=1) == labels).mean() > 0.85


def test_seeded_inputs_are_the_seeds(envctl: Program, digits: Path, tmp_path: Path) -> None:
    for name, seed in (("one", "7"), ("same", "7"), ("other", "8")):
        assert envctl("run", *ORT, "infer", digits, "--seed", seed, "--samples", "3", "-o", f"{name}.npz").code == 0
    one, same, other = (np.load(tmp_path / f"{name}.npz")["probabilities"] for name in ("one", "same", "other"))
    assert one.shape == (3, 1, 10)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.docker
@pytest.mark.usefixtures("docker_base")
def test_a_container_can_read_its_inputs_whatever_the_umask(digits: Path, own_cache: Path) -> None:
    """Root's containers run as nobody, and inputs are written while the container waits for them."""
    program = shlex.join([sys.executable, "-m", "envctl"])
    arguments = shlex.join(["run", "--ort", "1.31", "--runner", "docker", "verify", str(digits)])
    command = ["sh", "-c", f"umask 077; exec {program} {arguments}"]
    variables = {**os.environ, "ENVCTL_CACHE": str(own_cache)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
