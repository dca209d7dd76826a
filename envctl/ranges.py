"""Whether two conditions admit the same versions. Pure; asked at the versions where either of them could change."""

from __future__ import annotations

import re
from typing import Literal

from packaging.version import Version

from envctl.versions import Condition

Relation = Literal["same", "narrower", "other"]
NUMBER = re.compile(r"\d+(?:\.\d+)*")
FAR = 99999


def relation(name: str, ours: Condition, theirs: Condition) -> Relation:
    """How what we admit stands to what they admit: the same, less, or something else."""
    points = PYTHONS if name == "python" else sorted(_points(ours) | _points(theirs))
    mine = {point for point in points if ours.admits(point)}
    other = {point for point in points if theirs.admits(point)}
    if name == "python":  # a claim on 3.8.1 is one on 3.8: rows of python are minor versions
        mine, other = ({point.rpartition(".")[0] for point in each} for each in (mine, other))
    return "same" if mine == other else "narrower" if mine < other else "other"


PYTHONS = [f"3.{minor}.{patch}" for minor in range(4, 31) for patch in (0, 1, 99)]


def _points(condition: Condition) -> set[str]:
    """Each version that a condition names, with neighbours on both sides."""
    named = [Version(text).release for alternative in condition.any for text in NUMBER.findall(alternative)]
    found = {"0", str(FAR)}
    for release in named:
        found |= {_text(each) for each in (release, (*release, 1), (*release[:-1], release[-1] + 1), _before(release))}
    return found


def _before(release: tuple[int, ...]) -> tuple[int, ...]:
    """A version just below: 1.999 below 2.0."""
    while release and release[-1] == 0:
        release = release[:-1]
    return (*release[:-1], release[-1] - 1, FAR) if release else (0,)


def _text(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))
