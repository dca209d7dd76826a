"""Leaves out what cannot be part of any stack, before the search: a candidate with a need that nothing satisfies.

Most conflicts show here already, with the pins, facts and claims that led to them, in a few milliseconds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter

from packaging.version import Version

from envctl.release import Claim
from envctl.request import Line, Pin, line_of
from envctl.versions import Condition, is_bits, spans
from envctl.world import Candidate, Need, World

FIRST = itemgetter(0)


@dataclass(frozen=True, kw_only=True)
class Domains:
    """The candidates that are left by name, and the need that each of the others fails."""

    world: World
    left: dict[str, dict[Candidate, None]] = field(default_factory=dict)
    failed: dict[Candidate, Need] = field(default_factory=dict)
    _ordered: dict[str, list[tuple[Version, Candidate]]] = field(default_factory=dict)
    _slices: dict[tuple[str, Condition], list[tuple[int, int]]] = field(default_factory=dict)

    def ordered(self, name: str) -> list[tuple[Version, Candidate]]:
        """All candidates of a component, those that went too, oldest first."""
        if name not in self._ordered:
            pairs = [(Version(candidate.version), candidate) for candidate in self.world.candidates(name)]
            self._ordered[name] = sorted(pairs, key=FIRST)
        return self._ordered[name]

    def slices(self, name: str, condition: Condition) -> list[tuple[int, int]]:
        """Where in that order a condition may admit something."""
        key = (name, condition)
        if key not in self._slices:
            ordered = self.ordered(name)
            ends = [
                (bisect_left(ordered, a, key=FIRST), bisect_right(ordered, b, key=FIRST)) for a, b in spans(condition)
            ]
            self._slices[key] = ends
        return self._slices[key]

    def wiped(self) -> str | None:
        """A component that must be there and has no candidate left."""
        return next((need.name for need in self.world.roots() if self.left.get(need.name) == {}), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Blame:
    """Pins, names of facts and lines of claims that together leave nothing; a proof, not yet the shortest."""

    pins: frozenset[Pin]
    facts: frozenset[str]
    lines: frozenset[Line]


def narrow(world: World, decided: Mapping[str, Candidate] | None = None) -> Domains:
    """The candidates that are left when each whose needs nothing satisfies is gone, then those that needed it …"""
    domains = Domains(world=world)
    roots = [need for need in world.roots() if world.candidates(need.name) or world.takes_part(need.name)]
    for need in roots:
        _reach(domains, need.name)
    domains.left.update({name: {candidate: None} for name, candidate in (decided or {}).items()})
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
    """Whether a candidate that is left satisfies a need. Only those near what it names are looked at: with all of
    them, the time would grow with the square of the number of releases."""
    left = domains.left[need.name]
    if need.condition is None:
        return bool(left)
    condition = need.condition
    return any(condition.admits(each.version) for each in _near(domains, need.name, condition) if each in left)


def _near(domains: Domains, name: str, condition: Condition) -> Iterator[Candidate]:
    """The candidates that a condition may admit, newest first."""
    if any(is_bits(alternative) for alternative in condition.any):
        yield from domains.left[name]
        return
    ordered = domains.ordered(name)
    for first, last in domains.slices(name, condition):
        yield from (ordered[index][1] for index in range(last - 1, first - 1, -1))


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
        if need.limit:  # it holds because its target is there, and that a pin may have said
            pins |= {pin for pin in domains.world.request.pins if pin.name == need.name}
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
