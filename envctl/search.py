"""A search of our own, for the few questions that resolvelib gives up on: exact, and without changing its mind.

Components are decided one after another, of those that the decided ones need always the first in the order engine,
pinned, alphabet; each gets the first version with which a stack is still possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from envctl.narrow import Domains
from envctl.world import Candidate, Need

Left = dict[str, dict[Candidate, None]]


@dataclass(frozen=True)
class Search:
    """One search among the candidates that narrowing left."""

    domains: Domains

    def best(self) -> dict[str, Candidate] | None:
        """The chosen candidates by name; None when nothing fits."""
        roots = [need.name for need in self.domains.world.roots() if need.name in self.domains.left]
        return self._decide(frozenset(roots), self.domains.left, {})

    def _decide(self, needed: frozenset[str], left: Left, chosen: dict[str, Candidate]) -> dict[str, Candidate] | None:
        open_ = needed - set(chosen)
        if not open_:
            return chosen
        name = min(open_, key=self._preference)
        for candidate in left[name]:
            after = self._beside(left, candidate)
            more = needed | {need.name for need in self._needs(candidate) if not self.domains.world.optional(need)}
            if all(after[each] for each in more):
                found = self._decide(more, after, {**chosen, name: candidate})
                if found is not None:
                    return found
        return None

    def _preference(self, name: str) -> tuple[bool, bool, str]:
        return name != self.domains.world.request.engine, name not in self._pinned, name

    @cached_property
    def _pinned(self) -> frozenset[str]:
        return frozenset(pin.name for pin in self.domains.world.request.pins)

    def _beside(self, left: Left, candidate: Candidate) -> Left:
        """What is left of each component once a candidate is chosen."""
        after = left | {candidate.name: {candidate: None}}
        for need in self._needs(candidate):
            after[need.name] = {each: None for each in after[need.name] if _admits(need, each)}
        for name in self._claimants.get(candidate.name, frozenset()) - {candidate.name}:
            after[name] = {each: None for each in after[name] if self._allows(each, candidate)}
        return after

    def _allows(self, each: Candidate, candidate: Candidate) -> bool:
        return all(_admits(need, candidate) for need in self._needs(each) if need.name == candidate.name)

    def _needs(self, candidate: Candidate) -> Iterable[Need]:
        return self.domains.world.needs(candidate)

    @cached_property
    def _claimants(self) -> Mapping[str, frozenset[str]]:
        """By name of a component: those with a candidate that says something of it."""
        found: dict[str, set[str]] = {}
        for name, candidates in self.domains.left.items():
            for need in [need for candidate in candidates for need in self._needs(candidate)]:
                found.setdefault(need.name, set()).add(name)
        return {name: frozenset(names) for name, names in found.items()}


def _admits(need: Need, candidate: Candidate) -> bool:
    return need.condition is None or need.condition.admits(candidate.version)
