"""What can be chosen and what each choice needs: the matrix as one request sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from packaging.version import Version

from envctl.claims import claims_of
from envctl.matrix import Matrix
from envctl.release import Claim, Component, Release
from envctl.request import Pin, Request, line_of
from envctl.versions import Condition, boundaries
from envctl.waivers import Waiver, may_stand_in, vouchers, waivers


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """A condition on a component, by a pin or a claim. A limit holds only for what is in the stack anyway."""

    name: str
    condition: Condition | None
    cause: Pin | Claim | None
    limit: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One version that a component can have; `waived` names the component that stands in for one of its claims.

    The version "" is absence: what only limits speak of need not be there.
    """

    name: str
    version: str
    release: Release | None = field(default=None, compare=False)
    waived: str = ""


@dataclass(frozen=True, kw_only=True)
class World:
    """The candidates and needs of one request; each is worked out when it is first asked for."""

    matrix: Matrix
    request: Request
    _candidates: dict[str, tuple[Candidate, ...]] = field(default_factory=dict)
    _needs: dict[Candidate, tuple[Need, ...]] = field(default_factory=dict)
    _parts: dict[str, bool] = field(default_factory=dict)

    def roots(self) -> list[Need]:
        """The engine and the pins."""
        engine = Need(name=self.request.engine, condition=None, cause=None)
        return [engine] + [Need(name=pin.name, condition=pin.condition, cause=pin) for pin in self.request.pins]

    def candidates(self, name: str) -> tuple[Candidate, ...]:
        """Every version the component can have, best first: what is known of it here, else the matrix's releases."""
        if name not in self._candidates:
            self._candidates[name] = tuple(self._choose(name))
        return self._candidates[name]

    def _choose(self, name: str) -> Iterator[Candidate]:
        if name in self.request.known:
            return self._known(name)
        return self._open_versions(name) if self._is_open(name) else self._releases(name)

    def _is_open(self, name: str) -> bool:
        """Whether a component has more versions than rows, and takes part only where that is asked for."""
        component = self._component(name)
        unknown = name in self.request.deferred and component is not None and component.kind in ("host", "model")
        return (unknown or self.is_package(name)) and name != self.request.engine

    def _known(self, name: str) -> Iterator[Candidate]:
        component = self._component(name)
        values = self.request.known[name].values
        for value in sorted(values, key=lambda value: (name, value) not in self.request.preferred):
            yield Candidate(name=name, version=value, release=component.row(value) if component else None)

    def _releases(self, name: str) -> Iterator[Candidate]:
        component = self._component(name)
        releases = sorted(component.releases if component else (), key=self._rank)
        for release in releases:
            yield Candidate(name=name, version=release.version, release=release)
            for waiver in self._vouchers.get(name, ()):
                yield Candidate(name=name, version=release.version, release=release, waived=waiver.name)
        for release in releases:  # last: what the host should do without, if it can
            for waiver in self._waivers(name, release):
                yield Candidate(name=name, version=release.version, release=release, waived=waiver.name)

    def _open_versions(self, name: str) -> Iterator[Candidate]:
        """The versions of what has more than its rows (packages, hosts that are pinned): the rows, and, where no pin
        admits one of them, those at which conditions draw a line, with one just above each."""
        component = self._component(name)
        rows = {Version(release.version): release for release in (component.releases if component else ())}
        pinned = self._lines_of_pins(name)
        told = bool(pinned) and any(self._pinned(name, str(version)) for version in rows)
        lines = set() if told else {"0"} | pinned | self.matrix.lines_drawn(name)
        between = {Version(f"{line}.0.1") for line in lines if line.replace(".", "").isdigit()}
        for version in sorted({*rows, *map(Version, lines), *between}, reverse=True):
            release = rows.get(version)
            yield Candidate(name=name, version=release.version if release else str(version), release=release)

    @cached_property
    def _contested(self) -> frozenset[str]:
        """Packages that are pinned, or that two of what was asked for make claims on: that these go together is decided
        here; of all others uv will say it."""
        asked = dict.fromkeys([self.request.engine, *(pin.name for pin in self.request.pins)])
        claimed = [name for each in asked for name in self._claimed_by(each)]
        return frozenset({name for name in claimed if claimed.count(name) > 1} | set(asked))

    def _claimed_by(self, name: str) -> set[str]:
        """The packages that what is asked for of a component makes claims on."""
        component = self._component(name) if name not in self.request.known else None
        releases = [each for each in (component.releases if component else ()) if self._pinned(name, each.version)]
        claims = [claim for each in releases for claim, _ in claims_of(self.matrix, each, self.request)]
        return {claim.name for claim in claims if self.is_package(claim.name)}

    def _pinned(self, name: str, version: str) -> bool:
        return all(pin.condition.admits(version) for pin in self.request.pins if pin.name == name)

    def _lines_of_pins(self, name: str) -> set[str]:
        return {version for pin in self.request.pins if pin.name == name for version in boundaries(pin.condition)}

    def _rank(self, release: Release) -> tuple[bool, bool]:
        """What passed here first, if that is wanted; what nobody has looked at yet (`matrix update` wrote it) last."""
        passed = (release.component, release.version) in self.request.preferred
        return not passed, release.evidence == "unverified"

    def _component(self, name: str) -> Component | None:
        return self.matrix.component(name) if self.matrix.has(name) else None

    def _waivers(self, name: str, release: Release) -> tuple[Waiver, ...]:
        component = self.matrix.component(name)
        allowed = frozenset(filter(self._may_stand_in, component.unless.values()))
        return tuple(waivers(self.matrix, allowed, component, release))

    def _may_stand_in(self, name: str) -> bool:
        if name not in self._allowed:
            self._allowed[name] = may_stand_in(self.matrix, self.request, name)
        return self._allowed[name]

    @cached_property
    def _allowed(self) -> dict[str, bool]:
        """By name, as far as it was asked: to ask for all would read every file of the matrix."""
        return {}

    @cached_property
    def _vouchers(self) -> dict[str, tuple[Waiver, ...]]:
        return vouchers(self.matrix, self.request)

    def is_package(self, name: str) -> bool:
        """A Python distribution that uv resolves: of that kind, or without a file of its own."""
        if name in self.request.known or name in self.request.deferred:
            return False
        component = self._component(name)
        return component is None or component.kind == "package"

    def reached(self) -> list[Component]:
        """The components with a file that a search from the engine and the pins can come to."""
        names = list(dict.fromkeys(need.name for need in self.roots()))
        for name in names:
            needs = [need for candidate in self.candidates(name) for need in self.needs(candidate)]
            names += [need for need in dict.fromkeys(need.name for need in needs) if need not in names]
        return [self.matrix.component(name) for name in names if self.matrix.has(name)]

    def takes_part(self, name: str) -> bool:
        """Whether a claim on `name` is decided by the search, and not by uv or by a host still to be named."""
        if name not in self._parts:
            self._parts[name] = self._takes_part(name)
        return self._parts[name]

    def _takes_part(self, name: str) -> bool:
        known = self.request.known.get(name)
        if known is not None:
            return bool(known.values) or name not in self.request.deferred
        if self._is_open(name) or self.is_package(name):
            return name in self._contested
        component = self._component(name)
        return component is not None and component.kind in ("engine", "component")

    def needs(self, candidate: Candidate) -> tuple[Need, ...]:
        """What must hold beside a candidate."""
        if candidate not in self._needs:
            self._needs[candidate] = tuple(self._needs_of(candidate)) if candidate.release else ()
        if not self.request.ignored and self.request.only is None:
            return self._needs[candidate]
        return tuple(need for need in self._needs[candidate] if self._counts(need.cause))

    def _counts(self, cause: Pin | Claim | None) -> bool:
        if not isinstance(cause, Claim):
            return True
        line = line_of(cause)
        return line not in self.request.ignored and (self.request.only is None or line in self.request.only)

    def beside(self, request: Request) -> World:
        """The world of a request that differs only in the lines that count and in values of facts: what was worked out
        here holds there too."""
        alike = {name for name, known in request.known.items() if self.request.known.get(name) == known}
        other = World(
            matrix=self.matrix,
            request=request,
            _candidates={name: c for name, c in self._candidates.items() if name in alike or name not in request.known},
            _needs=self._needs,
            _parts=self._parts,
        )
        kept = ("_assembled", "_contested", "_allowed", "_vouchers")
        other.__dict__.update({name: value for name, value in self.__dict__.items() if name in kept})
        return other

    def _needs_of(self, candidate: Candidate) -> Iterator[Need]:
        assert candidate.release
        waiver = self._waiver(candidate)
        for claim, limit in claims_of(self.matrix, candidate.release, self.request):
            if not self.takes_part(claim.name) or self._passed_over(claim):
                continue
            if waiver and claim.name in waiver.on:
                yield Need(name=waiver.name, condition=waiver.condition, cause=claim)
            else:
                yield Need(name=claim.name, condition=claim.condition, cause=claim, limit=limit)

    def _waiver(self, candidate: Candidate) -> Waiver | None:
        """What stands in for one of a candidate's claims."""
        if not candidate.waived or candidate.release is None:
            return None
        possible = (*self._vouchers.get(candidate.name, ()), *self._waivers(candidate.name, candidate.release))
        return next(each for each in possible if each.name == candidate.waived)

    def _passed_over(self, claim: Claim) -> bool:
        """Features that nobody asked for, and what parts of a vendor's image ask of other software: its host and GPU
        are ours, what stands beside them in the image is his affair."""
        asked = self.request.features
        if claim.feature and (claim.of_extra or asked is not None) and claim.feature not in (asked or ()):
            return True
        component = self._component(claim.name)
        software = component is not None and component.kind in ("engine", "component", "package")
        return software and claim.owner.partition(" ")[0] in self._assembled

    @cached_property
    def _assembled(self) -> frozenset[str]:
        """What the pinned container images bring: NVIDIA builds its TensorFlow for other versions than the wheel's."""
        images = [(self._component(pin.name), pin) for pin in self.request.pins]
        releases = [
            release
            for image, pin in images
            if image and image.kind == "component"
            for release in image.releases
            if pin.condition.admits(release.version)
        ]
        return frozenset(name for release in releases for name in release.provides)

    def optional(self, need: Need) -> bool:
        """Whether absence satisfies a need: a limit, on what is not a fact of this host or model."""
        return need.limit and need.name not in self.request.known
