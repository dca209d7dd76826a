"""Request + matrix + facts -> one stack of versions, or the conflict. Pure: no files but the matrix, no clock.

Pins, claims and facts meet in one search (resolvelib, the resolver inside pip). Releases are tried newest first;
a fact of the host or of the model is a component with a single candidate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep
from resolvelib.resolvers import Resolution

from envctl.claims import claims_of
from envctl.matrix import Matrix
from envctl.narrow import Domains, narrow
from envctl.release import Claim
from envctl.request import Known, Pin, Request
from envctl.search import Search
from envctl.world import Candidate, Need, World

ROUNDS = 300  # real questions take 10 to 40
ANY = ">=0"  # what a package index says of a requirement without a bound


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One component of a stack: its version and the pins and claims that led there."""

    name: str
    version: str
    source: str
    why: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """A consistent set: chosen versions, conditions on Python packages left to uv, and needs this host leaves open.

    `without` are claims of features that the stack does not meet: it does without these features.
    """

    engine: str
    choices: dict[str, Choice]
    constraints: dict[str, tuple[str, ...]]
    unmet: tuple[Claim, ...] = ()
    without: tuple[Claim, ...] = ()

    def version(self, name: str) -> str:
        """The chosen version of a component."""
        return self.choices[name].version

    @property
    def on_gpu(self) -> bool:
        """Whether it is for a GPU: it holds CUDA or a GPU, or asks for one."""
        return bool({"cuda", "gpu"} & {*self.choices, *(claim.name for claim in self.unmet)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """No stack for this request; `envctl.proof` says why."""

    request: Request


class _Provider(AbstractProvider[Any, Any, str]):
    """resolvelib's questions, answered from what narrowing left."""

    def __init__(self, world: World, domains: Domains) -> None:
        self.world, self.domains = world, domains
        self.pinned = {pin.name for pin in world.request.pins}

    def identify(self, requirement_or_candidate: Need | Candidate) -> str:
        return requirement_or_candidate.name

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Any],
        candidates: Mapping[str, Iterator[Any]],
        information: Mapping[str, Iterator[Any]],
        backtrack_causes: Sequence[Any],
    ) -> tuple[bool, bool, bool, str]:
        """The engine first, then what was pinned, then the alphabet: the newest engine wins; absence comes last."""
        absent = all(self.world.optional(information_.requirement) for information_ in information[identifier])
        return identifier != self.world.request.engine, absent, identifier not in self.pinned, identifier

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Need]],
        incompatibilities: Mapping[str, Iterator[Candidate]],
    ) -> Iterable[Candidate]:
        needs = list(requirements[identifier])
        refused = set(incompatibilities[identifier])
        absence = [Candidate(name=identifier, version="")] if all(map(self.world.optional, needs)) else []
        return [
            candidate
            for candidate in [*absence, *self.domains.left.get(identifier, ())]
            if candidate not in refused and all(self.is_satisfied_by(need, candidate) for need in needs)
        ]

    def is_satisfied_by(self, requirement: Need, candidate: Candidate) -> bool:
        if not candidate.version:
            return self.world.optional(requirement)
        return requirement.condition is None or requirement.condition.admits(candidate.version)

    def get_dependencies(self, candidate: Candidate) -> Iterable[Need]:
        return self.world.needs(candidate)


def solve(matrix: Matrix, request: Request) -> Stack | Conflict:
    """The stack that satisfies every pin, claim and fact, or the conflict.

    Of all such stacks the best: components are decided one after another (the engine, what is pinned, the alphabet, of
    those that the decided ones need), and each gets the first of its versions with which a stack is still possible.
    """
    return solve_in(World(matrix=matrix, request=request))


def solve_in(world: World) -> Stack | Conflict:
    """The same, in a world that was looked at before."""
    domains = narrow(world)
    found = _search(world, domains)
    return Conflict(request=world.request) if found is None else _stack(world, list(_improved(domains, found).values()))


def possible(matrix: Matrix, request: Request) -> bool:
    """Whether there is any stack; quicker than to find the best."""
    return possible_in(World(matrix=matrix, request=request))


def possible_in(world: World) -> bool:
    """The same, in a world that was looked at before."""
    return _search(world, narrow(world)) is not None


def _search(world: World, domains: Domains) -> dict[str, Candidate] | None:
    """Any stack among what narrowing left; None where there is none. resolvelib may change a decision later on instead
    of what came after it, so that its answer need not be the best."""
    if domains.wiped():
        return None
    roots = [need for need in world.roots() if need.name in domains.left]
    try:
        state = Resolution(_Provider(world, domains), BaseReporter()).resolve(roots, max_rounds=ROUNDS)
    except ResolutionImpossible:
        return None
    except ResolutionTooDeep:  # it goes to and fro between decisions; seen in a few real questions
        return Search(domains).best()
    return {name: candidate for name, candidate in state.mapping.items() if candidate.version}


def _improved(domains: Domains, found: dict[str, Candidate]) -> dict[str, Candidate]:
    """The best stack, from any: where a component could have an earlier candidate, that one is tried."""
    world, decided = domains.world, dict[str, Candidate]()
    while open_ := _needed(world, decided, found):
        name = min(open_, key=lambda name: _rank(world, name))
        for candidate in _admitted(domains, decided, name):
            tried = {**decided, name: candidate}
            better = found if candidate == found[name] else _search(world, narrow(world, tried))
            if better is not None:
                found, decided[name] = better, candidate
                break
    return decided


def _needed(world: World, decided: Mapping[str, Candidate], found: Mapping[str, Candidate]) -> set[str]:
    """What must still be decided: what was asked for, and what the decided ones need and is there."""
    needs = [*world.roots(), *(need for candidate in decided.values() for need in world.needs(candidate))]
    return {need.name for need in needs if need.name in found and not world.optional(need)} - set(decided)


def _rank(world: World, name: str) -> tuple[bool, bool, str]:
    return name != world.request.engine, all(pin.name != name for pin in world.request.pins), name


def _admitted(domains: Domains, decided: Mapping[str, Candidate], name: str) -> list[Candidate]:
    """The candidates of a component that narrowing left, and that pins and what is decided admit, best first."""
    world = domains.world
    needs = [*world.roots(), *(need for candidate in decided.values() for need in world.needs(candidate))]
    conditions = [need.condition for need in needs if need.name == name and need.condition]
    return [each for each in domains.left[name] if all(c.admits(each.version) for c in conditions)]


def _stack(world: World, chosen: list[Candidate]) -> Stack:
    request = world.request
    needs = [need for candidate in chosen for need in world.needs(candidate)]
    open_ = [claim for candidate in chosen for claim in _open(world, candidate)]
    packages = [(pin.name, pin.condition) for pin in request.pins if world.is_package(pin.name)]
    cuda = next((candidate.version for candidate in chosen if candidate.name == "cuda"), "")
    packages += [(c.name, c.condition) for c in open_ if world.is_package(c.name) and _of_this_cuda(c.name, cuda)]
    unmet = tuple(claim for claim in open_ if not world.is_package(claim.name) and _asked(world, claim.name))
    shown = [each for each in chosen if each.name == request.engine or not world.is_package(each.name)]
    choices = {each.name: _choice(world, each, needs) for each in shown}
    without = tuple(claim for candidate in chosen for claim in _missed(world, candidate, choices))
    constraints = _constraints(packages)
    return Stack(engine=request.engine, choices=choices, constraints=constraints, unmet=unmet, without=without)


def _missed(world: World, candidate: Candidate, choices: Mapping[str, Choice]) -> Iterator[Claim]:
    """Claims for the sake of a feature that something in the stack does not satisfy."""
    for claim, _ in claims_of(world.matrix, candidate.release, world.request) if candidate.release else ():
        there = choices.get(claim.name)
        if claim.feature and there and not claim.condition.admits(there.version):
            yield claim


def _open(world: World, candidate: Candidate) -> Iterator[Claim]:
    """Claims of a chosen release that the search did not decide, and those that bind uv too."""
    for claim, limit in claims_of(world.matrix, candidate.release, world.request) if candidate.release else ():
        package, decided = world.is_package(claim.name), world.takes_part(claim.name)
        if claim.name not in world.request.foreign and (package or not (decided or limit)):
            yield claim


def _of_this_cuda(package: str, cuda: str) -> bool:
    """Whether a package is for the stack's CUDA: NVIDIA names them by its major version (nvidia-cudnn-cu12)."""
    built_for = re.search(r"-cu(\d\d)\b", package)
    return built_for is None or cuda.startswith(f"{built_for[1]}.")


def _constraints(found: list[tuple[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Conditions on Python packages, all of which must hold; uv knows no "or", so an alternative cannot be said."""
    constraints: dict[str, tuple[str, ...]] = {}
    for name, condition in found:
        if len(condition.any) > 1:
            raise ValueError(f"a claim on the Python package {name} must be one specifier, not {condition}")
        constraints[name] = (*constraints.get(name, ()), *(spec for spec in condition.any if spec != ANY))
    return {name: specs for name, specs in constraints.items() if specs}


def _asked(world: World, name: str) -> bool:
    """Facts of a model matter only where a model was given; facts of the host always do."""
    return not world.matrix.has(name) or world.matrix.component(name).kind != "model"


def _choice(world: World, candidate: Candidate, needs: list[Need]) -> Choice:
    said = [pin.said for pin in world.request.pins if pin.name == candidate.name]
    said += [_why(need.cause, candidate.name) for need in needs if need.name == candidate.name]
    known = world.request.known.get(candidate.name)
    source = known.origin if known else candidate.release.source if candidate.release else ""
    if known and known.together:
        said.append(f"one of several; left out: {', '.join(v for v in known.values if v != candidate.version)}")
    why = tuple(dict.fromkeys(said)) or ("newest that fits",)
    return Choice(name=candidate.name, version=candidate.version, source=source, why=why)


def _why(cause: Pin | Claim | None, name: str) -> str:
    assert isinstance(cause, Claim)
    if cause.name != name:  # the component stands in for what is claimed
        return f"{cause.owner} needs {cause.name} {cause.condition}, or this in its place"
    return f"{cause.owner} needs {cause.condition}"


def newest_versions(matrix: Matrix, pin: Pin, count: int = 3) -> list[str]:
    """The newest few releases of a pinned component."""
    if not matrix.has(pin.name):
        return []
    return [release.version for release in matrix.component(pin.name).releases[:count]]


def _is_host(matrix: Matrix, name: str) -> bool:
    return matrix.has(name) and matrix.component(name).kind == "host"


def with_provided(matrix: Matrix, known: Mapping[str, Known]) -> dict[str, Known]:
    """The same facts and those of the host that follow from them: Ubuntu 22.04 has glibc 2.35, avx2 comes with avx."""
    found = dict(known)
    for name, fact in known.items():
        if matrix.has(name) and matrix.component(name).implies:
            values = tuple(matrix.component(name).with_implied(value) for value in fact.values)
            found[name] = Known(values=values, origin=fact.origin)
        row = matrix.component(name).row(fact.values[0]) if matrix.has(name) and len(fact.values) == 1 else None
        if row:
            origin = f"{name} {fact.values[0]}: {row.source}"
            provided = {other: Known(values=(version,), origin=origin) for other, version in row.provides.items()}
            found = {other: fact for other, fact in provided.items() if _is_host(matrix, other)} | found
    return found
