"""Recorded machines to break: a copy of a folder of tests/hosts, edits to it, and the verdicts on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from envctl.doctor.check import Check, Facts, Verdict
from envctl.doctor.judge import judge
from envctl.host import collect, start_probes

HOSTS = Path(__file__).resolve().parent / "hosts"


class BrokenHost:
    """A copy of a recorded machine."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder / "host"
        shutil.copytree(HOSTS / name, self.folder)
        self.recorded: dict[str, dict[str, Any]] = {"calls": {}, "stat": {}, "links": {}}
        self.recorded.update(json.loads((self.folder / "recorded.json").read_text()))

    def answers(self, call: str, value: Any = None, **changes: Any) -> None:
        """The call answers `value`, or what it answered with `changes`."""
        old = self.recorded["calls"].get(call, {}).get("value")
        self.recorded["calls"][call] = {"value": {**old, **changes} if changes else value}

    def fails(self, call: str, error: str) -> None:
        self.recorded["calls"][call] = {"error": error}

    def writes(self, path: str, text: str, mtime: int | None = None) -> None:
        """A file with this text, and when it was written."""
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        if path in self.recorded["stat"] and mtime:
            self.recorded["stat"][path]["mtime"] = mtime

    def replaces(self, path: str, old: str, new: str) -> None:
        """Another text in a file; `old` must be there."""
        text = (self.folder / path.lstrip("/")).read_text()
        assert old in text
        self.writes(path, text.replace(old, new))

    def loses(self, *paths: str) -> None:
        """Files, nodes and links that are no longer there."""
        for path in paths:
            self.recorded["stat"].pop(path, None)
            self.recorded["links"].pop(path, None)
            (self.folder / path.lstrip("/")).unlink(missing_ok=True)

    def stats(self, path: str, **changes: Any) -> None:
        """Other words of stat for a path, or a path that was not there."""
        plain = {"mode": "-rwxr-xr-x", "uid": 0, "gid": 0, "size": 1, "mtime": 1, "major": 0, "minor": 0}
        self.recorded["stat"][path] = {**plain, **self.recorded["stat"].get(path, {}), **changes}

    def verdicts(self, checks: Iterable[Check], probes: Iterable[str]) -> dict[str, Verdict]:
        """What the checks say of this machine, by id."""
        (self.folder / "recorded.json").write_text(json.dumps(self.recorded))
        return verdicts(checks, probes, self.folder)


def verdicts(checks: Iterable[Check], probes: Iterable[str], root: Path | None) -> dict[str, Verdict]:
    """What the checks say of a recorded machine (of this one without `root`), by id."""
    facts = Facts(host=collect(start_probes(tuple(probes), root=root), seconds=20))
    broken = [fact for name, fact in facts.host.facts.items() if name.startswith("probe:")]
    assert not broken, broken
    return {verdict.id: verdict for verdict in judge(checks, facts)}
