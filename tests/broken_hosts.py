"""Recorded machines (tests/hosts), healthy and broken: a fault is a change to a copy, and what doctor must say then."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envctl.doctor.check import Facts, Verdict
from envctl.doctor.checks import cpu, disk, limits, packages, python, system
from envctl.doctor.claims import with_claims
from envctl.doctor.judge import judge
from envctl.host import HostFacts, collect, start_probes
from envctl.matrix import load

HOSTS = Path(__file__).parent / "hosts"
PROBES = ("system", "nvidia", "cpuid", "limits", "loader", "disks", "pythons")
CHECKS = (*cpu.CHECKS, *system.CHECKS, *limits.CHECKS, *disk.CHECKS, *python.CHECKS, *packages.CHECKS)
OWN_HOSTS = ("ubuntu22.04-desktop", "debian12-container", "ubuntu24.04-graviton")
GB = 1 << 30
Change = Callable[["Copy"], None]


@dataclass(frozen=True)
class Copy:
    """A recorded machine that may be broken."""

    folder: Path

    def write(self, path: str, text: str) -> None:
        """Put a file on the machine."""
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def replace(self, path: str, old: str, new: str) -> None:
        """Change every `old` in a file of the machine."""
        text = (self.folder / path.lstrip("/")).read_text(encoding="utf-8")
        assert old in text, f"{path} has no {old!r}"
        self.write(path, text.replace(old, new))

    def recorded(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change what was recorded of calls, stat and links."""
        place = self.folder / "recorded.json"
        document = json.loads(place.read_text(encoding="utf-8"))
        change(document)
        place.write_text(json.dumps(document), encoding="utf-8")

    def call(self, name: str, **values: object) -> None:
        """Change keys of what a call answered."""
        self.recorded(lambda document: document["calls"][name]["value"].update(values))

    def answer(self, name: str, value: object) -> None:
        """Change the whole answer of a call."""
        self.recorded(lambda document: document["calls"].update({name: {"value": value}}))

    def error(self, name: str, error: str) -> None:
        """Let a call fail."""
        self.recorded(lambda document: document["calls"].update({name: {"error": error}}))

    def there(self, path: str, mode: str = "drwxr-xr-x") -> None:
        """Let a path be there."""
        row = {"mode": mode, "uid": 1000, "gid": 1000, "size": 4096, "mtime": 0, "major": 0, "minor": 0}
        self.recorded(lambda document: document["stat"].update({path: row}))

    def gone(self, path: str) -> None:
        """Let a path be there no more."""
        self.recorded(lambda document: document["stat"].pop(path))


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A broken machine: how it is broken, and the one root cause that must be found, with words of verdict and fix."""

    name: str
    change: Change
    check: str
    level: str
    said: str
    fix: str
    host: str = "ubuntu22.04-desktop"
    folded: tuple[str, ...] = ()


def facts_of(folder: Path | None) -> HostFacts:
    """The facts of a recorded machine (None: of this one), with what the matrix says of it."""
    return with_claims(load(), collect(start_probes(PROBES, folder), 30))


def verdicts_of(folder: Path | None) -> dict[str, Verdict]:
    """Verdicts by check."""
    return {verdict.id: verdict for verdict in judge(CHECKS, Facts(host=facts_of(folder)))}


def copied(host: str, tmp_path: Path) -> Copy:
    """A copy of a recorded machine."""
    return Copy(Path(shutil.copytree(HOSTS / host, tmp_path / host)))


def roots(verdicts: dict[str, Verdict]) -> set[str]:
    """The checks that found something wrong which no other check explains."""
    return {v.id for v in verdicts.values() if v.finding.level in ("WARN", "FAIL") and not v.follows}


def assert_found(fault: Fault, tmp_path: Path) -> None:
    """The fault's check, level, words and fix are found, and no other root cause."""
    machine = copied(fault.host, tmp_path)
    fault.change(machine)
    verdicts = verdicts_of(machine.folder)
    found = verdicts[fault.check]
    assert (found.finding.level, found.follows) == (fault.level, ""), found
    assert fault.said in found.finding.said, found
    assert any(fault.fix in line for line in found.finding.fix), found.finding.fix
    assert found.finding.evidence, "no evidence"
    assert all(" = " in line for line in found.finding.evidence), found.finding.evidence
    assert found.finding.affects, "affects nobody"
    assert roots(verdicts) <= {fault.check}, {name: verdicts[name].finding.said for name in roots(verdicts)}
    assert {v.id for v in verdicts.values() if v.follows == fault.check} == set(fault.folded)
