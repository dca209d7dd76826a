"""Container engines, NVIDIA's toolkit, CDI, images, registries: recorded machines, broken one by one, and this one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from envctl.doctor.check import Facts, Verdict
from envctl.doctor.checks import cdi, docker, docker_host, image, network, nvidia_container
from envctl.doctor.judge import judge
from envctl.host import HostFacts, interpreters, payload
from tests.broken_host import HOSTS, BrokenHost, verdicts
from tests.container_faults import FAULTS, HEALTHY

CHECKS = (
    *docker.CHECKS, *nvidia_container.CHECKS, *cdi.CHECKS, *docker_host.CHECKS, *image.CHECKS, *network.CHECKS,
)  # fmt: skip
OURS = ("containers", "dockerd", "toolkit", "cdi", "image", "network")
PROBES = ("system", "nvidia", *OURS)


def loud(found: dict[str, Verdict]) -> dict[str, str]:
    """The verdicts that a person must look at and that nothing else explains: id -> what it says."""
    roots = {name: it.finding for name, it in found.items() if not it.follows}
    return {name: it.said for name, it in roots.items() if it.level in ("WARN", "FAIL")}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_machine_is_silent(name: str) -> None:
    assert loud(verdicts(CHECKS, PROBES, HOSTS / name)) == {}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found_with_its_root_and_fix(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    host = BrokenHost(fault.host, tmp_path)
    fault.breaks(host)
    found = host.verdicts(CHECKS, PROBES)
    verdict = found[fault.check]
    assert verdict.finding.level == fault.level, verdict
    assert fault.said in verdict.finding.said
    assert fault.fix in " ; ".join(verdict.finding.fix)
    assert verdict.finding.evidence and verdict.source and not verdict.follows
    assert {it: found[it].follows for it in fault.folded} == dict.fromkeys(fault.folded, fault.check)
    assert set(loud(found)) == {fault.check}, loud(found)


def test_without_any_fact_nothing_is_well() -> None:
    levels = {verdict.finding.level for verdict in judge(CHECKS, Facts(host=HostFacts(facts={})))}
    assert "OK" not in levels and "FAIL" not in levels


@pytest.mark.parametrize("probe", OURS)
def test_probe_runs_here_under_the_oldest_python(probe: str) -> None:
    oldest = min(interpreters().items(), key=lambda it: int(it[0].partition(".")[2]))[1]
    command = [str(oldest), "-I", "-S", str(payload("probes") / f"{probe}.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert all(set(fact) == {"name", "value", "origin", "error"} for fact in json.loads(done.stdout)["facts"])
