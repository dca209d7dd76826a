"""`envctl doctor` as a user runs it: on this machine, and on recorded ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envctl.doctor.checks import CHECKS
from tests.conftest import ROOT, Ran

Program = Callable[..., Ran]
HOSTS = ROOT / "tests" / "hosts"
NOUVEAU, H200 = HOSTS / "ubuntu22.04-rtx3090-nouveau", HOSTS / "ubuntu24.04-h200-driver580"


def troubles(diagnosis: dict[str, Any]) -> set[tuple[str, str]]:
    """What is a failure or a warning, by check."""
    levels = {(verdict["id"], verdict["finding"]["level"]) for verdict in diagnosis["verdicts"]}
    return {(name, level) for name, level in levels if level in ("WARN", "FAIL")}


def test_this_machine_is_told_on_one_screen(envctl: Program) -> None:
    ran = envctl("doctor")
    assert ran.code in (0, 1), ran.err
    lines = ran.out.splitlines()
    assert "what runs here (newest versions):" in lines
    assert any(line.startswith("  onnxruntime ") and "CPU 1." in line for line in lines)
    assert len(lines) < 60
    assert "Traceback" not in ran.err


def test_a_failure_comes_first_with_its_fix_and_what_follows_is_folded(envctl: Program) -> None:
    ran = envctl("doctor", "--root", NOUVEAU)
    assert ran.code == 1
    failures = [line for line in ran.out.splitlines() if line.startswith("[x]")]
    assert len(failures) == 1
    assert "(gpu.bound)" in failures[0]
    assert "fix: sudo ubuntu-drivers install  (as root, then reboot)" in ran.out
    assert "more checks follow from this" in ran.out


def test_what_runs_there_comes_from_the_solver(envctl: Program) -> None:
    """An H200 (compute capability 9.0): TensorRT runs, TensorRT for RTX does not list it, and says so."""
    runs = {each["engine"]: each for each in envctl("doctor", "--root", H200, "--json").json["runs"]}
    assert runs["tensorrt"]["gpu"]
    assert runs["tensorrt-rtx"]["gpu"] == ""
    assert "here gpu is 9.0" in runs["tensorrt-rtx"]["why"]


def test_unknown_is_never_ok(envctl: Program, tmp_path: Path) -> None:
    """A machine of which nothing was recorded: no check on what a fact must tell may pass."""
    verdicts = envctl("doctor", "--root", tmp_path, "--json").json["verdicts"]
    by_id = {verdict["id"]: verdict["finding"]["level"] for verdict in verdicts}
    assert len(by_id) == len(CHECKS)
    for name in ("cpu.isa", "libc", "drv.cuinit", "dk.version", "mem", "disk"):
        assert by_id[name] == "SKIP", name


def test_what_is_recorded_here_is_diagnosed_as_here(envctl: Program) -> None:
    recorded = envctl("doctor", "--record", "machine")
    assert recorded.code == 0, recorded.err
    here, there = (envctl("doctor", *where, "--json").json for where in ((), ("--root", "machine")))
    assert troubles(here) == troubles(there)
    again = envctl("doctor", "--record", "machine")
    assert again.code == 2
    assert "is not empty" in again.err


def test_a_recording_and_a_report_name_nobody(envctl: Program, tmp_path: Path) -> None:
    secret = {"HTTPS_PROXY": "http://somebody:hunter2@proxy.example:3128", "HF_TOKEN": "hf_abcdefghijklmnop"}
    assert envctl("doctor", "--record", "machine", **secret).code == 0
    written = "\n".join(path.read_text() for path in (tmp_path / "machine").rglob("*") if path.is_file())
    report = envctl("doctor", "--report", "-v", **secret).out
    assert report.startswith("```\n")
    for text in (written, report):
        assert "hunter2" not in text
        assert "hf_abcdefghijklmnop" not in text


def test_all_checks_are_listed(envctl: Program) -> None:
    assert [line.split()[0] for line in envctl("doctor", "--list").out.splitlines()] == [check.id for check in CHECKS]


def test_one_check_alone(envctl: Program) -> None:
    ran = envctl("doctor", "--root", NOUVEAU, "--only", "gpu.bound", "--json")
    assert ran.code == 1
    assert [verdict["id"] for verdict in ran.json["verdicts"]] == ["gpu.bound"]
    unknown = envctl("doctor", "--only", "gpu.bond")
    assert unknown.code == 2
    assert "there is no check 'gpu.bond'" in unknown.err


@pytest.mark.parametrize("answer", ["y", "n"])
def test_fix_runs_what_is_safe_after_asking_and_nothing_else(tmp_path: Path, answer: str) -> None:
    """A stand-in for nvidia-modprobe that writes down that it was called."""
    from typer.testing import CliRunner

    from envctl.cli import doctor as command
    from envctl.cli.screen import Screen
    from envctl.doctor.check import Finding, Verdict
    from envctl.host import HostFacts
    from envctl.workflow.doctor import Diagnosis

    called = tmp_path / "called"
    (tmp_path / "nvidia-modprobe").write_text(f'#!/bin/sh\necho "$@" > {called}\n')
    (tmp_path / "nvidia-modprobe").chmod(0o755)
    failed = Finding(level="FAIL", said="no /dev/nvidia-uvm")
    verdicts = tuple(Verdict(id=name, title=name, finding=failed) for name in ("drv.uvm", "gpu.bound"))
    found = Diagnosis(host=HostFacts(facts={}), verdicts=verdicts, runs=())
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    import typer

    app = typer.Typer()
    app.command()(lambda: command._mended(Screen(False), found, False) and None)
    ran = CliRunner().invoke(app, [], input=f"{answer}\n", env=path)
    assert "nvidia-modprobe -u -c=0" in ran.output
    assert called.exists() == (answer == "y")
    if answer == "y":
        assert called.read_text() == "-u -c=0\n"
    assert json.dumps(ran.output).count("run this?") == 1


def test_where_doctor_itself_breaks_the_exit_code_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from envctl.cli.doctor import app
    from envctl.workflow import doctor as workflow

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(workflow, "diagnose", broken)
    ran = CliRunner().invoke(app, [])
    assert ran.exit_code == 2
    assert "a fault of ours" in ran.output and "doctor itself broke" in ran.output
