"""Fault injection: every broken GPU machine is found with its root cause and fix, and its healthy twin is silent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envctl.doctor.checks import CHECKS as ALL_CHECKS
from tests import gpu_faults, library_faults
from tests.gpu_machines import A10, CHECKS, HEALTHY, HOSTS, PROBES, Break, Broken, verdicts

FAULTS = (*gpu_faults.FAULTS, *library_faults.FAULTS)


@pytest.mark.parametrize(
    ("host", "break_it", "check", "level", "said", "fix"), [it[1:] for it in FAULTS], ids=[it[0] for it in FAULTS]
)
def test_a_fault_is_found_with_its_root_and_its_fix(
    host: str, break_it: Break, check: str, level: str, said: str, fix: str, tmp_path: Path
) -> None:
    machine = Broken(host, tmp_path)
    break_it(machine)
    found = machine.verdicts()
    roots = {it.id: it.finding for it in found.values() if it.finding.level in ("WARN", "FAIL") and not it.follows}
    assert list(roots) == [check], {it: roots[it].said for it in roots}
    assert roots[check].level == level
    assert said in roots[check].said
    assert fix in "\n".join(roots[check].fix)


@pytest.mark.parametrize("host", HEALTHY)
def test_a_healthy_machine_is_silent(host: str) -> None:
    loud = [it for it in verdicts(HOSTS / host).values() if it.finding.level in ("WARN", "FAIL")]
    assert not loud, [(it.id, it.finding.said) for it in loud]


def test_every_fault_says_what_it_affects_and_shows_evidence(tmp_path: Path) -> None:
    for number, (_, host, break_it, *_) in enumerate(FAULTS):
        machine = Broken(host, tmp_path / str(number))
        break_it(machine)
        for it in machine.verdicts().values():
            if it.finding.level in ("WARN", "FAIL"):
                assert it.finding.affects, it.id
                assert it.finding.fix, it.id
                assert it.finding.evidence or it.id == "gpu.free", it.id


def test_checks_have_ids_titles_and_sources_of_their_own() -> None:
    assert len({check.id for check in CHECKS}) == len(CHECKS) >= 35
    known = {check.id for check in ALL_CHECKS}
    for check in CHECKS:
        assert check.source.startswith("https://"), check.id
        assert set(check.after) <= known, check.id


def test_unknown_is_never_ok(tmp_path: Path) -> None:
    """A machine of which nothing but the GPU on its bus could be read."""
    machine = Broken(A10, tmp_path)
    machine.recorded = {"calls": {}, "links": machine.recorded["links"], "stat": {}}
    machine.without("/proc", "/sys/module", "/sys/firmware")
    machine.recorded["stat"] = {"/sys/firmware/efi": {"mode": "drwxr-xr-x", "uid": 0, "gid": 0}}
    said_ok = {it.id for it in machine.verdicts().values() if it.finding.level == "OK"}
    assert said_ok <= {"gpu.pci", "gpu.bound", "lib.path"}


ASKED = ("nvidia", "driver", "libraries")


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("minor", ["3.6", "3.8", "this"])
def test_the_probe_answers_on_this_machine(name: str, minor: str) -> None:
    found = (
        sorted(Path("/root/.pyenv/versions").glob(f"{minor}.*/bin/python"))
        if minor != "this"
        else [Path(sys.executable)]
    )
    if not found:
        pytest.skip(f"no CPython {minor} here")
    done = subprocess.run([found[0], "-I", "-S", PROBES / f"{name}.py"], capture_output=True, check=True, timeout=20)
    facts = json.loads(done.stdout)["facts"]
    assert facts
    for fact in facts:
        assert (fact["value"] is None) == bool(fact["error"]), fact


FAKE_NVML = "#include <unistd.h>\nint nvmlInit_v2(void) { %s; return 0; }\n"


def with_fake(folder: Path, body: str) -> dict[str, Any]:
    """The facts of the nvidia probe beside an NVML that was made to fail."""
    (folder / "nvml.c").write_text(FAKE_NVML % body)
    subprocess.run(["gcc", "-shared", "-o", folder / "libnvidia-ml.so.1", folder / "nvml.c"], check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    command = [sys.executable, "-I", "-S", PROBES / "nvidia.py"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=20, env=environment)
    return {it["name"]: it for it in json.loads(done.stdout)["facts"]}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler here")
@pytest.mark.parametrize(
    ("body", "words"),
    [("sleep(60)", "no answer within"), ("*(volatile int *)0 = 1", "signal 11"), ("_exit(3)", "without")],
)
def test_a_driver_that_hangs_or_dies_costs_its_own_facts_only(body: str, words: str, tmp_path: Path) -> None:
    facts = with_fake(tmp_path, body)
    assert words in facts["nvml"]["error"]
    assert words in facts["gpu"]["error"]
    assert facts["nvidia_pci"]["value"] is not None
