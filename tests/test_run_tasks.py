"""The other tasks of `envctl run`: commands, engines that cannot run here, inputs of the user's, data for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import CACHE, Ran

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
OPENVINO = ("--openvino", "2026.4", "--runner", "local")
ORT = ("--ort", "1.31", "--runner", "local")
RTX = ("--trt-rtx", "1.7", "--runner", "local")
RUNNERS = ["local", pytest.param("docker", marks=pytest.mark.docker)]
MISSING = "envctl-test-no-such-program"


# ---- TensorRT for RTX: built, never executed; TensorRT: planned


def test_trt_rtx_is_built_and_never_called_passed(envctl: Program, digits: Path, tmp_path: Path) -> None:
    ran = envctl("run", *RTX, "--gpu", "8.9", "convert", digits, "-o", "out")
    assert ran.code == 4, ran.err
    assert ran.out.startswith("BUILT")
    assert "built, not executed: no supported GPU" in ran.out or "does not execute on GPUs" in ran.out
    assert "passed" not in ran.out.lower()
    assert (tmp_path / "out" / "digits.trt-rtx.plan").stat().st_size > 10_000
    note = json.loads((tmp_path / "out" / "digits.trt-rtx.envctl.json").read_text())
    assert (note["status"], note["verdict"]) == ("built", None)
    assert note["steps"]["convert"]["read_back"]["compute_capabilities"] == "8.9"


def test_trt_rtx_cannot_be_verified_without_a_gpu(envctl: Program, digits: Path, tmp_path: Path) -> None:
    ran = envctl("run", *RTX, "--gpu", "8.9", "verify", digits, "--json")
    assert (ran.code, ran.json["status"], ran.json["exit_code"], ran.json["artifacts"]) == (4, "built", 4, [])
    assert list(tmp_path.iterdir()) == []


def test_trt_rtx_cannot_infer_without_a_gpu(envctl: Program, digits: Path, tmp_path: Path) -> None:
    ran = envctl("run", *RTX, "infer", digits, ENVCTL_CACHE=str(tmp_path / "cold"))
    assert ran.code == 4
    assert "builds engines of TensorRT for RTX and does not execute them" in ran.err
    assert not (tmp_path / "cold" / "environments").exists()


def test_trt_rtx_does_not_serve_every_gpu(envctl: Program, digits: Path, tmp_path: Path) -> None:
    ran = envctl("run", *RTX, "--gpu", "9.0", "convert", digits, "-o", "out", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert ran.code == 3
    assert "error: no stack for tensorrt-rtx 1.7" in ran.err
    assert "here gpu is 9.0" in ran.err
    assert "--gpu" in ran.err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cold" / "environments").exists()


def test_trt_86_is_planned_and_ends_at_the_index(envctl: Program, digits: Path, tmp_path: Path) -> None:
    cold = tmp_path / "cold"
    pins = ("--trt", "8.6", "--python", "3.11", "--runner", "local")
    ran = envctl("run", *pins, "convert", digits, "-o", "out", ENVCTL_CACHE=str(cold), XDG_CONFIG_HOME=str(tmp_path))
    assert ran.code == 4
    shown = [line.split()[:2] for line in ran.out.splitlines()]
    for line in ("tensorrt 8.6.", "python 3.11", "package tensorrt-libs==8.6.", "unmet tensorrt"):
        assert any(" ".join(words).startswith(line) for words in shown), ran.out
    assert {"cuda", "cudnn", "base"} <= {words[0] for words in shown if words}
    assert "(index nvidia)" in ran.out
    assert [line for line in ran.err.splitlines() if line.startswith("error:")] == [
        "error: cannot reach the package index 'nvidia'"
    ]
    assert "--index nvidia=URL" in ran.err
    assert "--index nvidia=file:///" in ran.err
    assert not (tmp_path / "out").exists()
    assert [path.name for path in cold.rglob("*") if path.is_file() and "matrix" not in path.parts] == []


def test_trt_86_with_an_index_that_does_not_have_it(envctl: Program, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    index = f"nvidia={(tmp_path / 'wheels').as_uri()}"
    pins = ("--trt", "8.6", "--python", "3.11", "--runner", "local", "--index", index)
    ran = envctl("run", *pins, "convert", digits, ENVCTL_CACHE=str(tmp_path / "cold"))
    assert ran.code == 4, ran.err
    assert "tensorrt-libs" in ran.err
    assert "--index nvidia=" in ran.err
    assert not (tmp_path / "cold" / "environments").exists()


def test_trt_86_without_network_at_all(envctl: Program, digits: Path, tmp_path: Path) -> None:
    """An index that is configured, but that --offline forbids to ask."""
    index = "nvidia=http://127.0.0.1:9/simple"
    pins = ("--trt", "8.6", "--python", "3.11", "--runner", "local", "--index", index, "--offline")
    ran = envctl("run", *pins, "convert", digits, ENVCTL_CACHE=str(tmp_path / "cold"))
    assert ran.code == 4, ran.err
    assert "--offline" in ran.err


# ---- any command


@pytest.mark.parametrize("runner", RUNNERS)
def test_command_runs_inside_the_environment(
    envctl: Program, tmp_path: Path, runner: str, request: pytest.FixtureRequest
) -> None:
    if runner == "docker":
        request.getfixturevalue("docker_base")
    (tmp_path / "ask.py").write_text("import sys, onnxruntime as o; print(o.__version__, *sys.argv[1:]); sys.exit(7)")
    ran = envctl("run", "--ort", "1.31", "--runner", runner, "--", "python", "ask.py", "--flag", "two words")
    assert ran.code == 7, ran.err
    version, _, rest = ran.out.strip().partition(" ")
    assert version.startswith("1.31.")
    assert rest == "--flag two words"


@pytest.mark.parametrize("runner", RUNNERS)
def test_command_that_is_not_there(envctl: Program, runner: str, request: pytest.FixtureRequest) -> None:
    if runner == "docker":
        request.getfixturevalue("docker_base")
    ran = envctl("run", "--ort", "1.31", "--runner", runner, "--", MISSING)
    assert ran.code == 127
    assert MISSING in ran.err
    assert "Traceback" not in ran.err


def test_command_that_is_no_program(envctl: Program, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a program")
    ran = envctl("run", *ORT, "--", "./text")
    assert ran.code == 127
    assert "error: cannot start ./text" in ran.err


def test_command_that_dies_by_a_signal(envctl: Program) -> None:
    assert envctl("run", *ORT, "--", "sh", "-c", "kill -SEGV $$").code == 128 + 11


# ---- inputs


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"imgae": np.zeros((2, 1, 8, 8), np.float32)}, ["'imgae'", "did you mean image?"]),
        ({"image": np.zeros((2, 1, 8, 8), np.float64)}, ["float64", "float32"]),
        ({"image": np.zeros((2, 8, 8, 1), np.float32)}, ["[2, 8, 8, 1]", "[?,1,8,8]"]),
        ({"image": np.zeros((2, 8), np.float32)}, ["[2, 8]", "[?,1,8,8]"]),
        ({"image": np.zeros((0, 1, 8, 8), np.float32)}, ["empty"]),
        ({}, ["lacks image"]),
        ({"image": np.zeros((1, 1, 8, 8), np.float32), "more": np.zeros(1)}, ["'more'", "image"]),
    ],
    ids=["name", "dtype", "layout", "rank", "no sample", "nothing", "too many"],
)
def test_inputs_that_do_not_fit(
    envctl: Program, digits: Path, tmp_path: Path, own_cache: Path, arrays: dict[str, Any], words: list[str]
) -> None:
    np.savez(tmp_path / "in.npz", **arrays)
    ran = envctl("run", *ORT, "infer", digits, "--input", "in.npz", "-o", "out.npz", ENVCTL_CACHE=str(own_cache))
    assert ran.code == 2
    for word in words:
        assert word in ran.err
    assert not (tmp_path / "out.npz").exists()
    assert list((own_cache / "jobs").iterdir()) == []


@pytest.mark.parametrize("content", [None, b"hello", b"\x80\x04}q\x00."], ids=["missing", "text", "pickle"])
def test_input_file_that_is_none(envctl: Program, digits: Path, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "in.npz").write_bytes(content)
    ran = envctl("run", *ORT, "infer", digits, "--input", "in.npz")
    assert ran.code == 2
    assert "in.npz" in ran.err
    assert "Traceback" not in ran.err


# ---- --json


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        ((*ORT, "convert", "MODEL", "-o", "out"), 0, "passed"),
        ((*ORT, "convert", "MODEL", "-o", "out", "--no-verify"), 0, "converted"),
        ((*ORT, "infer", "MODEL"), 0, "ran"),
        ((*ORT, "verify", "MODEL", "--atol", "0", "--seed", "3"), 1, "failed"),
        ((*ORT, "verify", "no.onnx"), 2, "error"),
        ((*ORT, "convert", "MODEL", "--shape", "image=x"), 2, "error"),
        (("convert", "MODEL"), 2, "error"),
        (("--ort", "1.9999", "verify", "MODEL"), 3, "error"),
        (("--trt", "8.6", "--python", "3.11", "--runner", "local", "convert", "MODEL"), 4, "error"),
        ((*ORT, "infer", "MODEL", "--memory", "1m"), 5, "error"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_json_is_one_document_whatever_happens(
    envctl: Program, digits: Path, own_cache: Path, arguments: tuple[str, ...], code: int, status: str
) -> None:
    given = [str(digits) if word == "MODEL" else word for word in arguments]
    ran = envctl("run", *given, "--json", ENVCTL_CACHE=str(own_cache))
    assert (ran.code, ran.json["status"]) == (code, status), ran.err
    assert "Traceback" not in ran.err
    if status == "error":
        assert ran.json["error"]["exit_code"] == code
        assert ran.json["error"]["what"]
    else:
        assert ran.json["exit_code"] == code
        assert ran.json["task"] in arguments
        assert Path(ran.json["target"]["locked"]["environment"]).parent == own_cache / "environments"
        assert (CACHE / "environments" / Path(ran.json["target"]["locked"]["environment"]).name).is_dir()
