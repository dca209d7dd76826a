"""Leaves out what cannot be part of any stack, before the search: a candidate with a need that nothing satisfies.

Most conflicts show here already, with the pins, facts and claims that led to them, in a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from envctl.release import Claim
from envctl.request import Line, Pin, line_of
from envctl.world import Candidate, Need, World


@dataclass(frozen=True, kw_only=True)
class Domains:
    """The candidates that are left by name, and the need that each of the others fails."""

    world: World
    left: dict[str, dict[Candidate, None]] = field(default_factory=dict)
    failed: dict[Candidate, Need] = field(default_factory=dict)

    def wiped(self) -> str | None:
        """A component that must be there and has no candidate left."""
        return next((need.name for need in self.world.roots() if self.left.get(need.name) == {}), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Blame:
    """Pins, names of facts and lines of claims that together leave nothing; a proof, not yet the shortest."""

    pins: frozenset[Pin]
    facts: frozenset[str]
    lines: frozenset[Line]


def narrow(world: World) -> Domains:
    """The candidates that are left when each whose needs nothing satisfies is gone, then those that needed it …"""
    domains = Domains(world=world)
    roots = [need for need in world.roots() if world.candidates(need.name) or world.takes_part(need.name)]
    for need in roots:
        _reach(domains, need.name)
    must = {need.name for need in roots} | set(world.request.known)
    for need in roots:
        _drop(domains, need.name, need)
    while sum(_round(domains, name, must) for name in list(domains.left)):
        pass
    return domains


def _reach(domains: Domains, name: str) -> None:
    """Takes in a component and all that its candidates need, directly or not."""
    open_ = [name]
    while open_:
        name = open_.pop()
        if name in domains.left:
            continue
        candidates = domains.world.candidates(name)
        domains.left[name] = dict.fromkeys(candidates)
        open_ += [need.name for candidate in candidates for need in domains.world.needs(candidate)]


def _drop(domains: Domains, name: str, need: Need) -> None:
    """Takes out the candidates that a pin refuses."""
    for candidate in list(domains.left[name]):
        if need.condition and not need.condition.admits(candidate.version):
            _fail(domains, candidate, need)


def _fail(domains: Domains, candidate: Candidate, need: Need) -> None:
    del domains.left[candidate.name][candidate]
    domains.failed[candidate] = need


def _round(domains: Domains, name: str, must: set[str]) -> bool:
    """Whether a candidate of `name` had to go."""
    supported: dict[tuple[str, object], bool] = {}
    gone = False
    for candidate in list(domains.left[name]):
        for need in domains.world.needs(candidate):
            if need.limit and need.name not in must:
                continue
            key = (need.name, need.condition)
            if key not in supported:
                supported[key] = _supported(domains, need)
            if not supported[key]:
                _fail(domains, candidate, need)
                gone = True
                break
    return gone


def _supported(domains: Domains, need: Need) -> bool:
    return any(need.condition is None or need.condition.admits(each.version) for each in domains.left[need.name])


def blame(domains: Domains, wiped: str) -> Blame:
    """Everything that took part in leaving `wiped` without candidates."""
    pins, facts, lines = set(), set(), set()
    for name, need in _causes(domains, wiped):
        if name in domains.world.request.known:
            facts.add(name)
        if isinstance(need.cause, Pin):
            pins.add(need.cause)
        if isinstance(need.cause, Claim):
            lines.add(line_of(need.cause))
            facts.update({need.name} & set(domains.world.request.known))
    return Blame(
        pins=frozenset(pins | _pins_of_the_roots(domains, wiped)), facts=frozenset(facts), lines=frozenset(lines)
    )


def _pins_of_the_roots(domains: Domains, wiped: str) -> set[Pin]:
    """That `wiped` must be there at all, a pin may have said."""
    return {pin for pin in domains.world.request.pins if pin.name == wiped and wiped != domains.world.request.engine}


def _causes(domains: Domains, wiped: str) -> Iterator[tuple[str, Need]]:
    """(component, need it failed) of each candidate that went, and of those that went before it, from `wiped` on."""
    seen: set[str] = set()
    open_ = [wiped]
    while open_:
        name = open_.pop()
        if name in seen:
            continue
        seen.add(name)
        for candidate in domains.world.candidates(name):
            if candidate in domains.failed:
                need = domains.failed[candidate]
                yield name, need
                open_.append(need.name)
