"""What was observed here: one line of JSON a run, in a file of the user's own. A failure seen outranks a promise.

`ENVCTL_EVIDENCE` names another file; `none` sets all evidence aside.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from envctl.errors import BadInput
from envctl.release import Claim
from envctl.tree import disk_errors
from envctl.versions import Condition

Scope = Literal["engine", "model", "none"]
# What speaks against the release itself, whatever the model; and what speaks against it for that model only.
# Time, memory, disk and a missing device speak against the machine or the caps, not against a version.
AGAINST_ENGINE = frozenset({"engine-missing"})
AGAINST_MODEL = frozenset({"failed", "engine-error", "killed", "unsupported", "bad-result"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One run: what was asked of which stack, with which model, on which host, and what came of it.

    `verdict` is the run's status (`passed`, `failed`, `built` …) or, where a job failed, its kind (`engine-error` …);
    `failed-own-terms` where the person had set limits or a reference of his own. `precision` is what was asked for.
    """

    day: str
    engine: str
    task: str
    precision: str
    verdict: str
    reason: str
    lock: str
    stack: dict[str, str]
    packages: dict[str, str]
    model: dict[str, Any] = field(default_factory=dict)
    host: dict[str, str | None] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        """What a failure speaks against."""
        if self.verdict in AGAINST_ENGINE:
            return "engine"
        return "model" if self.verdict in AGAINST_MODEL else "none"

    @property
    def version(self) -> str:
        """The engine's version."""
        return self.stack[self.engine]


def store() -> Path | None:
    """The file of observations; None where evidence is set aside."""
    chosen = os.environ.get("ENVCTL_EVIDENCE")
    if chosen == "none":
        return None
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_data_path

    return user_data_path("envctl") / "evidence.jsonl"


def append(observation: Observation) -> Path | None:
    """The file that now ends with the observation; a line is written in one piece, so runs side by side do not mix."""
    path = store()
    if path is None:
        return None
    line = json.dumps(asdict(observation), sort_keys=True, ensure_ascii=False) + "\n"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as stream:
            stream.write(line.encode())
    return path


def read() -> list[Observation]:
    """All observations, oldest first; raises `BadInput` for a line that is none, naming it."""
    path = store()
    if path is None or not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_read_line(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _read_line(path: Path, number: int, line: str) -> Observation:
    try:
        observation = Observation(**json.loads(line))
        assert isinstance(observation.stack[observation.engine], str)
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        do = ["remove the line, or set the file aside: ENVCTL_EVIDENCE=none"]
        raise BadInput(f"{path}, line {number}: not an observation ({error})", do=do) from error
    return observation


def refuted(
    observations: Iterable[Observation], model: str = "", precision: str = "fp32"
) -> dict[tuple[str, str], tuple[Claim, ...]]:
    """The releases that failed here, as claims that nothing can satisfy; `model` is the SHA-256 of the one at hand.

    What failed for a model and a precision speaks against nothing else; a later success takes a failure back.
    """
    found: dict[tuple[str, str], Observation] = {}
    for seen in observations:
        release = (seen.engine, seen.version)
        same = (seen.model.get("sha256"), seen.precision) == (model, precision)
        if seen.scope == "engine" or (seen.scope == "model" and same):
            found[release] = seen
        elif seen.verdict == "passed" and release in found and (same or found[release].scope == "engine"):
            del found[release]
    return {release: (_failure(seen),) for release, seen in found.items()}


def _failure(seen: Observation) -> Claim:
    return Claim(
        owner=f"{seen.engine} {seen.version}",
        name=seen.engine,
        condition=Condition(any=(f"!={seen.version}",)),
        source=f"measured:{store()}",
        evidence="measured",
        note=f"failed here on {seen.day}: {seen.reason or seen.verdict}",
    )


def proven(observations: Iterable[Observation]) -> frozenset[tuple[str, str]]:
    """(name, version) of everything in a stack that passed its verdict here."""
    return frozenset(release for seen in observations if seen.verdict == "passed" for release in seen.stack.items())


def about(observations: Iterable[Observation], name: str, version: str) -> list[Observation]:
    """The observations of stacks that held a release."""
    return [seen for seen in observations if _holds(seen.stack, name, version)]


def _holds(stack: Mapping[str, str], name: str, version: str) -> bool:
    return stack.get(name) == version
