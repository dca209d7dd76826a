"""Request + matrix + facts -> one stack of versions, or the conflict. Pure: no files but the matrix, no clock.

Pins, claims and facts meet in one search (resolvelib, the resolver inside pip). Releases are tried newest first;
a fact of the host or of the model is a component with a single candidate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from packaging.version import Version
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, Resolver

from envctl.matrix import Claim, Matrix, Release
from envctl.versions import Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """What the person asked for: `--ort 1.17` is (`onnxruntime`, `==1.17.*`, said as `--ort 1.17`)."""

    name: str
    condition: Condition
    said: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """The values a component can have here, best first, and what says so. No value: known to be absent."""

    values: tuple[str, ...]
    origin: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One question for the solver. `deferred` facts may be absent: what they must be is listed as unmet.

    `on_gpu` adds what engines that can do without a GPU require for work on one. Claims on `foreign` components are
    about another operating system, and passed over; so are those of a component on another that `ignored` names (for
    proofs).
    """

    engine: str
    pins: tuple[Pin, ...]
    known: Mapping[str, Known]
    deferred: frozenset[str] = frozenset()
    on_gpu: bool = False
    foreign: frozenset[str] = frozenset()
    ignored: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One component of a stack: its version and the pins and claims that led there."""

    name: str
    version: str
    source: str
    why: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """A consistent set: chosen versions, conditions on Python packages left to uv, and needs this host leaves open."""

    engine: str
    choices: dict[str, Choice]
    constraints: dict[str, tuple[str, ...]]
    unmet: tuple[Claim, ...] = ()

    def version(self, name: str) -> str:
        """The chosen version of a component."""
        return self.choices[name].version


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """No stack for this request; `envctl.proof` says why."""

    request: Request


@dataclass(frozen=True, kw_only=True, slots=True)
class _Need:
    """One condition on a component, by a pin or by a release's claim."""

    name: str
    condition: Condition | None
    cause: Pin | Claim | None


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    name: str
    version: str
    release: Release | None = field(default=None, compare=False)


class _Provider(AbstractProvider[Any, Any, str]):
    """resolvelib's questions, answered from the matrix and the known facts."""

    def __init__(self, matrix: Matrix, request: Request) -> None:
        self.matrix, self.request = matrix, request

    def identify(self, requirement_or_candidate: _Need | _Candidate) -> str:
        return requirement_or_candidate.name

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Any],
        candidates: Mapping[str, Iterator[Any]],
        information: Mapping[str, Iterator[Any]],
        backtrack_causes: Sequence[Any],
    ) -> tuple[bool, bool, str]:
        """The engine first, then what was pinned, then the alphabet: the newest engine wins."""
        pinned = any(pin.name == identifier for pin in self.request.pins)
        return identifier != self.request.engine, not pinned, identifier

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[_Need]],
        incompatibilities: Mapping[str, Iterator[_Candidate]],
    ) -> Iterable[_Candidate]:
        needs = list(requirements[identifier])
        refused = {candidate.version for candidate in incompatibilities[identifier]}
        return [
            candidate
            for candidate in self.candidates(identifier)
            if candidate.version not in refused and all(self.is_satisfied_by(need, candidate) for need in needs)
        ]

    def candidates(self, name: str) -> list[_Candidate]:
        """Every version the component can have: what is known of it here, else the matrix's releases."""
        known = self.request.known.get(name)
        if known is not None:
            # a fact brings no claims of its own: that a GPU can serve CUDA puts no CUDA into a CPU's stack
            return [_Candidate(name=name, version=value) for value in known.values]
        releases = {release.version: release for release in self._releases(name)}
        return [_Candidate(name=name, version=version, release=release) for version, release in releases.items()]

    def _releases(self, name: str) -> tuple[Release, ...]:
        return self.matrix.component(name).releases if self.matrix.has(name) else ()

    def is_satisfied_by(self, requirement: _Need, candidate: _Candidate) -> bool:
        return requirement.condition is None or requirement.condition.admits(candidate.version)

    def get_dependencies(self, candidate: _Candidate) -> Iterable[_Need]:
        for claim in claims_of(candidate.release, self.request) if candidate.release else ():
            if self.takes_part(claim.name) and (candidate.name, claim.name) not in self.request.ignored:
                yield _Need(name=claim.name, condition=claim.condition, cause=claim)

    def takes_part(self, name: str) -> bool:
        """Whether a claim on `name` is decided by the search, and not by uv or by a host still to be named."""
        known = self.request.known.get(name)
        if known is not None:
            return bool(known.values) or name not in self.request.deferred
        return self.matrix.has(name) and self.matrix.component(name).kind in ("engine", "component")


def claims_of(release: Release, request: Request) -> tuple[Claim, ...]:
    """What a release requires for what the request is about."""
    return release.requires + (release.gpu if request.on_gpu else ())


def solve(matrix: Matrix, request: Request) -> Stack | Conflict:
    """The stack with the newest engine that satisfies every pin, claim and fact, or the conflict."""
    provider = _Provider(matrix, request)
    roots = [_Need(name=request.engine, condition=None, cause=None)]
    roots += [_Need(name=pin.name, condition=pin.condition, cause=pin) for pin in request.pins]
    packages = [need for need in roots if not _searchable(provider, need.name)]
    try:
        result = Resolver(provider, BaseReporter()).resolve([n for n in roots if n not in packages], max_rounds=10_000)
    except ResolutionImpossible:
        return Conflict(request=request)
    return _stack(provider, request, list(result.mapping.values()), packages)


def _searchable(provider: _Provider, name: str) -> bool:
    return bool(provider.candidates(name)) or provider.takes_part(name)


def _stack(provider: _Provider, request: Request, chosen: list[_Candidate], packages: list[_Need]) -> Stack:
    releases = [candidate.release for candidate in chosen if candidate.release]
    claims = [claim for release in releases for claim in claims_of(release, request)]
    left = [claim for claim in claims if claim.name not in request.foreign and not provider.takes_part(claim.name)]
    choices = {candidate.name: _choice(candidate, request, claims) for candidate in chosen}
    constraints = _constraints(packages, [claim for claim in left if _is_package(provider, claim.name)])
    unmet = tuple(claim for claim in left if not _is_package(provider, claim.name) and _asked(provider, claim.name))
    return Stack(engine=request.engine, choices=choices, constraints=constraints, unmet=unmet)


def _constraints(pins: list[_Need], claims: list[Claim]) -> dict[str, tuple[str, ...]]:
    """Conditions on Python packages, all of which must hold; uv knows no "or", so an alternative cannot be said."""
    found: dict[str, tuple[str, ...]] = {}
    for name, condition in [(n.name, n.condition) for n in pins] + [(c.name, c.condition) for c in claims]:
        if condition and len(condition.any) > 1:
            raise ValueError(f"a claim on the Python package {name} must be one specifier, not {condition}")
        found[name] = (*found.get(name, ()), *(condition.any if condition else ()))
    return found


def _is_package(provider: _Provider, name: str) -> bool:
    """A Python distribution that uv resolves: of that kind, or without a file of its own."""
    if name in provider.request.known or name in provider.request.deferred:
        return False
    return not provider.matrix.has(name) or provider.matrix.component(name).kind == "package"


def _asked(provider: _Provider, name: str) -> bool:
    """Facts of a model matter only where a model was given; facts of the host always do."""
    return not provider.matrix.has(name) or provider.matrix.component(name).kind != "model"


def _choice(candidate: _Candidate, request: Request, claims: list[Claim]) -> Choice:
    said = [pin.said for pin in request.pins if pin.name == candidate.name]
    said += [f"{claim.owner} needs {claim.condition}" for claim in claims if claim.name == candidate.name]
    known = request.known.get(candidate.name)
    source = known.origin if known else candidate.release.source if candidate.release else ""
    why = tuple(dict.fromkeys(said)) or ("newest that fits",)
    return Choice(name=candidate.name, version=candidate.version, source=source, why=why)


def relaxations(matrix: Matrix, conflict: Conflict) -> list[tuple[Pin, Stack]]:
    """Each single pin that can be left out to get a stack, with that stack."""
    found = []
    for pin in conflict.request.pins:
        others = tuple(other for other in conflict.request.pins if other is not pin)
        answer = solve(matrix, replace(conflict.request, pins=others))
        if isinstance(answer, Stack):
            found.append((pin, answer))
    return found


def newest_versions(matrix: Matrix, pin: Pin, count: int = 3) -> list[str]:
    """The newest few releases of a pinned component."""
    if not matrix.has(pin.name):
        return []
    versions = [release.version for release in matrix.component(pin.name).releases]
    return sorted(versions, key=Version, reverse=True)[:count]
