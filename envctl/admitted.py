"""Which versions of a component some items leave: every known one is tried. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from packaging.version import Version

from envctl.errors import BadInput
from envctl.matrix import Matrix
from envctl.question import Answer, answer, request_for
from envctl.release import Claim
from envctl.request import Pin
from envctl.solver import possible
from envctl.versions import Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class Admitted:
    """The versions that go with the items, oldest first, as a list and as ranges; and the claims behind their ends."""

    name: str
    versions: tuple[str, ...]
    ranges: tuple[str, ...]
    chain: tuple[Claim, ...]


def admitted(matrix: Matrix, items: tuple[Pin, ...], name: str) -> Admitted | Answer:
    """The range of a component beside some items, or the answer `unknown` where no fact links them."""
    fits = {version: _fits(matrix, (*items, _pin(name, version))) for version in _versions(matrix, name)}
    if not fits:
        raise BadInput(f"{name} has no versions to try", do=["ask about a component with releases, or about a number"])
    runs = [(good, list(run)) for good, run in groupby(fits, key=lambda version: fits[version])]
    ends = [answer(matrix, (*items, _pin(name, run[-1] if good else run[0]))) for good, run in reversed(runs)]
    if all(end.verdict == "unknown" for end in ends):
        return ends[0]
    versions = tuple(version for version, good in fits.items() if good)
    chain = dict.fromkeys(claim for end in ends for claim in end.chain)
    return Admitted(name=name, versions=versions, ranges=_ranges(runs), chain=tuple(chain))


def _versions(matrix: Matrix, name: str) -> list[str]:
    """Every version with a row; of facts also those at which a claim draws a line."""
    component = matrix.component(name)
    known = {release.version for release in component.releases}
    if component.kind == "host":
        known |= matrix.lines_drawn(name)
    return sorted(known, key=Version)


def _fits(matrix: Matrix, items: tuple[Pin, ...]) -> bool:
    return possible(matrix, request_for(matrix, items))


def _pin(name: str, version: str) -> Pin:
    return Pin(name=name, condition=Condition(any=(f"=={version}",)), said=f"{name}=={version}")


def _ranges(runs: list[tuple[bool, list[str]]]) -> tuple[str, ...]:
    """`>=3.9,<3.12`: the end is the first version that does not fit; open where all newer ones do."""
    found = []
    for index, (good, run) in enumerate(runs):
        if good:
            end = f",<{runs[index + 1][1][0]}" if index + 1 < len(runs) else ""
            found.append(f">={run[0]}{end}")
    return tuple(found)
