"""`envctl explain` as a person runs it: a file, standard input, a command; exit codes, JSON, bad input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

Program = Callable[..., Ran]
LINE = "Failed to initialize NVML: Driver/library version mismatch"


def test_a_file(envctl: Program, tmp_path: Path) -> None:
    (tmp_path / "build.log").write_text(f"all is well\n{LINE}\n")
    ran = envctl("explain", "build.log")
    assert ran.code == 0, ran.err
    shown = ran.out.splitlines()
    assert shown[0].startswith("cause: the driver's libraries are of another version")
    assert shown[1] == f"  line 2  {LINE}"
    assert any(line.startswith("  fix  sudo reboot") for line in shown)
    assert "  check  drv.lib_match" in shown
    assert shown[-1].startswith("  source  https://github.com/")


def test_json(envctl: Program, tmp_path: Path) -> None:
    (tmp_path / "build.log").write_text(LINE)
    data = envctl("explain", "build.log", "--json").json
    assert data["status"] == "explained"
    assert {"id", "cause", "confidence", "line", "text", "fix", "check", "source", "evidence"} <= set(data["causes"][0])


def test_unknown_is_said_plainly(envctl: Program, tmp_path: Path) -> None:
    (tmp_path / "build.log").write_text("one\ntwo\n")
    ran = envctl("explain", "build.log")
    assert (ran.code, ran.out) == (1, "unknown: nothing in these 2 lines is an error that envctl knows\n")
    assert envctl("explain", "build.log", "--json").json["status"] == "unknown"


def test_standard_input() -> None:
    command = [sys.executable, "-m", "envctl", "explain", "-"]
    done = subprocess.run(command, input=LINE, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "cause: " in done.stdout


def test_another_machine(envctl: Program, tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text('could not select device driver "" with capabilities: [[gpu]].')
    (tmp_path / "machine").write_text("driver=535.104.05 gpu=8.6  # the server\nnvidia_pci=2\n")
    assert (
        "nvidia-container-toolkit is not installed"
        in envctl("explain", "run.log", "--host", "machine").out.splitlines()[0]
    )
    assert "has no NVIDIA GPU" in envctl("explain", "run.log", "--host", "gpu=none").out.splitlines()[0]


def test_a_command_that_fails_is_explained(envctl: Program) -> None:
    code = f"import sys; print('to be seen'); print({LINE!r}, file=sys.stderr); sys.exit(7)"
    ran = envctl("explain", "--", sys.executable, "-c", code)
    assert ran.code == 7
    assert ran.out == "to be seen\n"
    assert "cause: the driver's libraries are of another version" in ran.err


def test_a_command_that_works_is_let_alone(envctl: Program) -> None:
    ran = envctl("explain", "--", "echo", LINE)
    assert (ran.code, ran.out, ran.err) == (0, f"{LINE}\n", "")


def test_a_commands_death_is_explained_and_json_stays_json(envctl: Program) -> None:
    ran = envctl("explain", "--json", "--", "sh", "-c", "echo out; kill -9 $$")
    assert ran.code == 137
    assert ran.json["causes"][0]["id"] == "memory-killed"
    assert ran.err == "out\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "give a log"),
        (("no-such.log",), 2, "cannot read no-such.log"),
        (("binary",), 2, "binary file"),
        (("packed.gz",), 2, "gunzip -c FILE | envctl explain -"),
        (("text", "--host", "nonsense"), 2, "--host"),
        (("text", "--host", "driver=1 nonsense"), 2, "is not NAME=VALUE"),
        (("--", "no-such-program"), 127, "cannot start no-such-program"),
        ((".",), 2, "cannot read ."),
    ],
)
def test_bad_input_gets_one_clear_error(
    envctl: Program, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 100)
    (tmp_path / "packed.gz").write_bytes(b"\x1f\x8b\x08\0\0\0")
    (tmp_path / "text").write_text("text")
    ran = envctl("explain", *arguments)
    assert ran.code == code, ran.out + ran.err
    assert ran.err.count("error:") == 1
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_failures_words_give_because_and_do() -> None:
    from envctl.workflow.explain import told_by

    because, do = told_by("Unsupported model IR version: 12, max supported IR version: 11")
    assert (
        because[0].text
        == "the model's IR version (12) is newer than this runtime reads (11): it was written with a newer onnx package"
    )
    assert because[0].source.startswith("https://")
    assert any("m.ir_version = 11" in step for step in do)
    assert told_by("it did not work") == ([], [])


def test_the_last_line_of_a_long_log_is_found(envctl: Program, tmp_path: Path) -> None:
    with (tmp_path / "long.log").open("w") as stream:
        for number in range(400_000):
            stream.write(
                f"2026-11-21 12:00:00 INFO worker {number} step {number} loss 0.1 lr 1e-4 nvidia cuda docker\n"
            )
        stream.write(f"{LINE}\n")
    ran = envctl("explain", "long.log")
    assert "line 400001" in ran.out


def test_a_fact_that_nobody_looks_at_is_refused(envctl: Program, tmp_path: Path) -> None:
    (tmp_path / "some.log").write_text(f"{LINE}\n")
    ran = envctl("explain", "some.log", "--host", "gpus=8.6")
    assert ran.code == 2
    assert "no rule looks at 'gpus'" in ran.err and "did you mean gpu=…?" in ran.err
