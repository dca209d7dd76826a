"""What is wrong across the matrix's files: names nobody knows, claims nothing satisfies, releases nothing reaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from envctl.matrix import Matrix
from envctl.release import Claim, Component, Release
from envctl.request import Known, Pin, Request
from envctl.solver import possible
from envctl.versions import Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing to mend, and where: file, table and key."""

    where: str
    what: str


def audit(matrix: Matrix) -> list[Finding]:
    """Everything that is wrong with a matrix that can be read; empty when nothing is."""
    return [finding for name in matrix.names() for finding in _component(matrix, matrix.component(name))]


def _component(matrix: Matrix, component: Component) -> Iterator[Finding]:
    for release in component.releases:
        where = f"{component.name}.toml: release {release.version}"
        for key, claims in (("requires", release.requires), ("gpu", release.gpu)):
            for claim in claims:
                yield from _claim(matrix, component, claim, f"{where}: {key}.{claim.name}")
        if component.kind in ("engine", "component"):
            yield from _reachable(matrix, release, where)


def _claim(matrix: Matrix, component: Component, claim: Claim, where: str) -> Iterator[Finding]:
    """A claim's name must be a component or a declared package, and something must satisfy it."""
    if not matrix.has(claim.name):
        if claim.name not in component.packages:
            yield Finding(where=where, what=f"unknown component {claim.name!r}, and not among the file's packages")
        return
    other = matrix.component(claim.name)
    # hosts and packages have more versions than rows: 580.159.04 is a driver of branch 580, and uv knows all wheels
    complete = other.kind in ("engine", "component", "model") and other.releases
    if complete and not any(_admits(claim, release) for release in other.releases):
        yield Finding(where=where, what=f"{claim.condition} admits no release of {claim.name}")


def _admits(claim: Claim, release: Release) -> bool:
    return claim.condition.admits(release.version)


def _reachable(matrix: Matrix, release: Release, where: str) -> Iterator[Finding]:
    """Some machine, whatever it has, must get a stack with this release."""
    pythons = tuple(each.version for each in matrix.component("python").releases) if matrix.has("python") else ()
    pin = Pin(
        name=release.component,
        condition=Condition(any=(f"=={release.version}",)),
        said=f"{release.component} {release.version}",
    )
    facts = frozenset(name for name in matrix.names() if matrix.component(name).kind in ("host", "model"))
    known = {"python": Known(values=pythons, origin="matrices/python.toml")} if pythons else {}
    request = Request(engine=release.component, pins=(pin,), known=known, deferred=facts, on_gpu=True)
    if not possible(matrix, request):
        yield Finding(where=where, what="no stack can reach this release")
