"""Checks of different modules on one machine: what would be said twice is said once, facts that rules ask for exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from envctl.doctor.check import Facts
from envctl.doctor.checks import CHECKS
from envctl.doctor.cuda_claims import with_cuda_claims
from envctl.doctor.judge import BROKE, judge
from envctl.host import ALL_PROBES, Fact, HostFacts, collect, start_probes
from envctl.matrix import load
from envctl.workflow.doctor import NET
from envctl.workflow.machine import known_of
from tests.conftest import ROOT

MADE = {"engine_limits", "broken_pairs", "cuda_runtimes", "driver_limits", "driver_cuda"}  # from the matrix
GIB = 1 << 30
HOST = "ubuntu22.04-docker28-a10"


def told(**values: Any) -> HostFacts:
    return HostFacts(facts={name: Fact(name=name, value=value, origin="test") for name, value in values.items()})


def test_every_fact_that_a_rule_asks_for_is_told_by_a_probe() -> None:
    """Or made from the matrix: a name that nobody tells would make a rule silent for ever."""
    text = "\n".join(path.read_text() for path in (ROOT / "envctl/doctor").rglob("*.py"))
    asked = set(re.findall(r"facts\.(?:get|need|shown|why_unknown)\(\"([\w-]+)\"", text))
    here = set(collect(start_probes((*ALL_PROBES, *NET)), 30).facts)
    elsewhere = {"hwcap", "cpuid", "cpuid_enabled", "cpuid_hypervisor"}  # of another processor
    assert len(asked) > 60
    readers = [ROOT / "envctl/doctor/wanted.py", ROOT / "envctl/workflow/wanted_facts.py"]
    wanted = {name for path in readers for name in re.findall(r"\"(\w+)\"\]? ?[:=] _?[Ff]act\(", path.read_text())}
    wanted |= {name for path in readers for name in re.findall(r"= _fact\(\"(\w+)\"", path.read_text())}
    assert asked - here - MADE - wanted - elsewhere == set()


def disks(free: int, images: int, inodes: int = 10**6) -> HostFacts:
    """One disk for envctl's cache and, with the same size, Docker's images."""
    place = {
        "at": "/", "path": "/", "error": None, "free": free, "total": 100 * GIB, "inodes": inodes,
        "inodes_free": inodes, "there": True, "folder": True, "read_only": False, "noexec": False, "writable": True,
        "mine": True,
    }  # fmt: skip
    room = {"free": images, "size": 100 * GIB, "inodes": inodes, "inodes_free": inodes}
    names = ("envctl's cache", "temporary files", "Docker's images")
    facts = {"disks": dict.fromkeys(names, place), "docker_disk": room, "docker_flavour": "docker"}
    return told(**facts, docker_info={"root": "/var/lib/docker"}, tmpdir="")


def levels_of(host: HostFacts) -> dict[str, str]:
    checks = [check for check in CHECKS if check.id in ("disk", "dk.disk")]
    return {it.id: it.finding.level for it in judge(checks, Facts(host=host))}


@pytest.mark.parametrize(
    ("free", "levels"),
    [
        (50 * GIB, ("OK", "OK")),
        (15 * GIB, ("OK", "WARN")),  # enough for the cache, little for images
        (8 * GIB, ("WARN", "SKIP")),  # one disk, one warning
        (GIB, ("WARN", "FAIL")),
    ],
)
def test_a_small_disk_is_told_once(free: int, levels: tuple[str, str]) -> None:
    verdicts = levels_of(disks(free, free))
    assert (verdicts["disk"], verdicts["dk.disk"]) == levels


def test_two_disks_are_told_twice() -> None:
    other = disks(8 * GIB, 8 * GIB)
    other.facts["docker_disk"].value["size"] = 90 * GIB
    assert levels_of(other) == {"disk": "WARN", "dk.disk": "WARN"}


@pytest.mark.parametrize(
    ("facts", "value", "origin"),
    [
        ({"driver": "535.161.08", "nvml": {"cuda": "12.2", "gpus": []}}, "12.2", "nvml"),
        ({"driver": "550.54.15"}, "12.4", "matrices/driver.toml"),
        ({"driver": "123.4"}, None, "matrices/driver.toml"),
        ({}, None, "matrices/driver.toml"),
        ({"driver": "540.3.0", "tegra_gpu": {"l4t": "36.2.0"}}, None, "matrices/driver.toml"),  # numbers of its own
    ],
)
def test_the_cuda_that_a_driver_offers(facts: dict[str, Any], value: str | None, origin: str) -> None:
    offered = with_cuda_claims(load(), told(**facts)).facts["driver_cuda"]
    assert (offered.value, offered.origin) == (value, origin)
    assert bool(offered.error) == (value is None)


@pytest.mark.parametrize(
    ("image", "release", "level"),
    [
        ("36.2.0", "36.2.0", "OK"),
        ("35.2.1", "35.4.1", "WARN"),
        ("35.4.1", "36.2.0", "FAIL"),
        ("32.6.1", "32.7.1", "FAIL"),
        ("", "35.4.1", "OK"),
    ],
)
def test_an_image_for_another_jetson(image: str, release: str, level: str) -> None:
    facts = told(tegra_gpu={"l4t": release, "chip": "tegra234"}, image_l4t=image)
    assert {it.id: it.finding.level for it in judge(CHECKS, Facts(host=facts))}["jet.l4t"] == level


def test_the_class_of_the_gpu_reaches_the_solver() -> None:
    assert known_of(told(**{"gpu-class": "datacenter"}))["gpu-class"].values == ("datacenter",)
    unknown = {"gpu-class": Fact(name="gpu-class", value=None, origin="nvml", error="no GPU")}
    assert "gpu-class" not in known_of(HostFacts(facts=unknown))


HOSTS = sorted((ROOT / "tests/hosts").iterdir())


@pytest.mark.parametrize("root", [None, *HOSTS], ids=lambda it: it.name if it else "this machine")
def test_no_rule_breaks(root: Path | None) -> None:
    """Each recording holds what some of the probes read: the rest is not known, which no rule may stumble over."""
    facts = collect(start_probes(ALL_PROBES, root=root), 30)
    broken = [it.finding.said for it in judge(CHECKS, Facts(host=facts)) if it.finding.said.startswith(BROKE)]
    assert broken == []


def test_a_rule_that_breaks_costs_its_own_check_only() -> None:
    """A recording by another version may say something else than the rule reads."""
    facts = told(docker_flavour="docker", docker_info={"root": "/"}, pointer_bits=64, arch="x86_64")
    verdicts = {it.id: it.finding for it in judge(CHECKS, Facts(host=facts))}
    assert verdicts["dk.flavour"].level == "SKIP"
    assert verdicts["dk.flavour"].said == "the check itself broke: KeyError: 'os'"
    assert len(verdicts) == len(CHECKS)


def test_a_stub_is_told_once_by_the_loaders_check() -> None:
    """ld.env names the variable; that the loader then takes the stub follows from it."""
    stubs = "/usr/local/cuda/lib64/stubs"
    facts = told(
        nvidia_pci=1, driver="550.54.15", ld_preload=[], ld_so_conf=[],
        ld_library_path=[{"path": stubs, "there": True, "libcuda": True, "libstdcxx": False}],
        libraries={"libcuda.so.1": {"path": stubs + "/libcuda.so"}}, cuda={"init": 34},
        loader_folders=[{"folder": stubs, "from": "LD_LIBRARY_PATH"}],
    )  # fmt: skip
    verdicts = {it.id: it for it in judge(CHECKS, Facts(host=facts))}
    assert (verdicts["ld.env"].finding.level, verdicts["ld.env"].follows) == ("FAIL", "")
    assert (verdicts["cuda.stub"].finding.level, verdicts["cuda.stub"].follows) == ("FAIL", "ld.env")
