"""The shortest proof that there is no stack: pins, facts and claims of which none can be left out.

A claim counts by component ("cuda's releases say which driver they need"), not by release: a proof for every single
release of CUDA would be right and useless.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from envctl.matrix import Claim, Matrix, Release
from envctl.solver import Conflict, Pin, Request, claims_of, solve

Group = tuple[str, str]  # (component that claims, component claimed on)


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What cannot hold together; leaving out any one pin, fact or group of claims gives a stack."""

    pins: tuple[Pin, ...]
    facts: tuple[str, ...]
    groups: tuple[Group, ...]


def minimal(matrix: Matrix, conflict: Conflict) -> Proof:
    """The proof of a conflict, by leaving out one thing after another for as long as the conflict stays."""
    request = conflict.request
    groups = _groups(matrix, request)
    for group in reversed(groups):
        request = _if_still_conflict(matrix, request, replace(request, ignored=request.ignored | {group}))
    # a fact nobody claims on any more cannot be part of the proof, but it may hold versions together: it is tried too
    for name in list(request.known):
        request = _if_still_conflict(matrix, request, without_fact(request, name))
    for pin in request.pins:
        fewer = replace(request, pins=tuple(other for other in request.pins if other is not pin))
        request = _if_still_conflict(matrix, request, fewer)
    left = tuple(group for group in groups if group not in request.ignored)
    return Proof(pins=request.pins, facts=tuple(request.known), groups=left)


def without_fact(request: Request, name: str) -> Request:
    """The same question where nothing is known of `name`."""
    known = {other: value for other, value in request.known.items() if other != name}
    return replace(request, known=known, deferred=request.deferred | {name})


def _if_still_conflict(matrix: Matrix, request: Request, fewer: Request) -> Request:
    return fewer if isinstance(solve(matrix, fewer), Conflict) else request


def _groups(matrix: Matrix, request: Request) -> list[Group]:
    """Every pair of components that a search from the engine and the pins can meet a claim between, nearest first."""
    found: dict[Group, None] = {}
    names = list(dict.fromkeys([request.engine, *(pin.name for pin in request.pins)]))
    for name in names:
        for claim in _claims(considered(matrix, replace(request, pins=()), name, ()), request):
            found.setdefault((name, claim.name))
            if claim.name not in names:
                names.append(claim.name)
    return list(found)


def _claims(releases: Iterable[Release], request: Request) -> list[Claim]:
    return [claim for release in releases for claim in claims_of(release, request)]


def considered(matrix: Matrix, request: Request, name: str, above: Iterable[Claim]) -> list[Release]:
    """The releases of a component that the pins admit, and that some claim of `above` on it admits."""
    if name in request.known or not matrix.has(name):
        return []
    pins = [pin.condition for pin in request.pins if pin.name == name]
    asked = [claim.condition for claim in above if claim.name == name]
    return [
        release
        for release in matrix.component(name).releases
        if all(pin.admits(release.version) for pin in pins)
        and (not asked or any(condition.admits(release.version) for condition in asked))
    ]


def claims(matrix: Matrix, request: Request, proof: Proof) -> list[Claim]:
    """The claims of a proof's groups, of the releases that its pins and the claims above them leave.

    The engine's own pin limits them also where any other release would fail as well: it is what was asked about.
    """
    engine = tuple(pin for pin in request.pins if pin.name == request.engine)
    asked = replace(request, pins=tuple(dict.fromkeys(engine + proof.pins)))
    found: list[Claim] = []
    for owner, name in proof.groups:
        releases = considered(matrix, asked, owner, found)
        found += [claim for claim in _claims(releases, request) if claim.name == name]
    return found
