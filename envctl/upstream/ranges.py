"""Whether two conditions admit the same versions. Pure; asked at the versions where either of them could change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from typing import Literal

from packaging.version import Version

from envctl.versions import Condition

Relation = Literal["same", "narrower", "other"]
NUMBER = re.compile(r"\d+(?:\.\d+)*")
FAR = 99999


def relation(ours: Condition, theirs: Condition) -> Relation:
    """How what we admit stands to what they admit: the same, less, or something else."""
    points = _points(ours) | _points(theirs)
    mine, other = ({point for point in points if each.admits(point)} for each in (ours, theirs))
    return _relation(mine, other)


def relation_of_pythons(ours: Condition, theirs: Condition, minors: Iterable[int]) -> Relation:
    """The same for these minor versions of CPython 3: a claim on 3.8.1 is one on 3.8, the matrix knows no patches."""
    minors = list(minors)
    return _relation(_pythons(ours, minors), _pythons(theirs, minors))


def _relation(mine: Set[object], other: Set[object]) -> Relation:
    return "same" if mine == other else "narrower" if mine < other else "other"


def _pythons(condition: Condition, minors: list[int]) -> set[int]:
    return {minor for minor in minors if any(condition.admits(f"3.{minor}.{patch}") for patch in (0, 1, 99))}


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
