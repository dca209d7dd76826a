"""What stands in for a claim: forward compatibility for a driver, a release that was put together with its partner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from envctl.matrix import Matrix
from envctl.release import Component, Release
from envctl.request import Request
from envctl.versions import Condition, is_bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiver:
    """Beside `name` in one of these versions, a release's claims on the names in `on` need not hold."""

    name: str
    on: tuple[str, ...]
    condition: Condition


def stand_ins(matrix: Matrix, request: Request) -> frozenset[str]:
    """All components that may stand in for a claim."""
    named = {name for component in map(matrix.component, matrix.names()) for name in component.unless.values()}
    return frozenset(name for name in named if may_stand_in(matrix, request, name))


def may_stand_in(matrix: Matrix, request: Request, name: str) -> bool:
    """Whether a component may stand in for a claim: it is pinned, or the machine is known (not merely open) to be of
    the kind that it asks for."""
    if request.stand_ins is not None:
        return name in request.stand_ins
    return any(pin.name == name for pin in request.pins) or _kind_known(matrix, request, name)


def _kind_known(matrix: Matrix, request: Request, name: str) -> bool:
    newest = matrix.component(name).releases[:1] if matrix.has(name) else ()
    claims = [claim for release in newest for claim in release.requires if is_bits(claim.condition.any[0])]
    return all(claim.name in request.known for claim in claims)


def waivers(matrix: Matrix, allowed: frozenset[str], component: Component, release: Release) -> Iterator[Waiver]:
    """What of the allowed stand-ins could stand in for a claim of a release."""
    for claimed, name in component.unless.items():
        if name in allowed:
            yield Waiver(name=name, on=(claimed,), condition=_of_the_same_version(matrix, release, name))


def vouchers(matrix: Matrix, request: Request) -> dict[str, tuple[Waiver, ...]]:
    """By name of a partner: releases of what was asked for that were put together with it, and its claims that do not
    count beside them. Looked up once a request: a look at every release for every release would be quadratic."""
    asked = dict.fromkeys([request.engine, *(pin.name for pin in request.pins)])
    versions: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for release in [release for name in asked if matrix.has(name) for release in matrix.component(name).releases]:
        for partner, on in release.vouches.items():
            versions.setdefault((partner, release.component, on), []).append(f"=={release.version}")
    found: dict[str, tuple[Waiver, ...]] = {}
    for (partner, name, on), equal in versions.items():
        found[partner] = (*found.get(partner, ()), Waiver(name=name, on=on, condition=Condition(any=tuple(equal))))
    return found


def _of_the_same_version(matrix: Matrix, release: Release, name: str) -> Condition:
    """The version of what stands in: that of the release itself (cuda-compat 12.1 for cuda 12.1.1), or, for an image,
    of the part inside it that it stands in for."""
    parts = [(matrix.component(part), version) for part, version in release.provides.items() if matrix.has(part)]
    inside = [version for part, version in parts if name in part.unless.values()]
    major, minor = (inside or [release.version])[0].split(".")[:2]
    return Condition(any=(f"=={major}.{minor}",))
