"""What can be chosen and what each choice needs: the matrix as one request sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from envctl.matrix import Matrix
from envctl.release import Claim, Component, Release
from envctl.request import Pin, Request, line_of
from envctl.versions import Condition

INSIDE = "inside"  # the note of claims that say what a release contains
FACTS = ("host", "model", "package")  # kinds whose releases put limits on a stack and never wish for a component


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
            self._candidates[name] = tuple(self._known(name) if name in self.request.known else self._releases(name))
        return self._candidates[name]

    def _known(self, name: str) -> Iterator[Candidate]:
        component = self._component(name)
        values = self.request.known[name].values
        for value in sorted(values, key=lambda value: (name, value) not in self.request.preferred):
            yield Candidate(name=name, version=value, release=component.row(value) if component else None)

    def _releases(self, name: str) -> Iterator[Candidate]:
        component = self._component(name)
        releases = component.releases if component else ()
        for release in sorted(releases, key=self._rank):
            yield Candidate(name=name, version=release.version, release=release)
            for waiver in self._waivers(component):
                yield Candidate(name=name, version=release.version, release=release, waived=waiver)

    def _rank(self, release: Release) -> tuple[bool, bool]:
        """What passed here first, if that is wanted; what nobody has looked at yet (`matrix update` wrote it) last."""
        passed = (release.component, release.version) in self.request.preferred
        return not passed, release.evidence == "unverified"

    def _component(self, name: str) -> Component | None:
        return self.matrix.component(name) if self.matrix.has(name) else None

    def _waivers(self, component: Component | None) -> list[str]:
        """Components that stand in for a claim, where all that they ask of the host is known (not merely open)."""
        return [
            waiver
            for waiver in (component.unless.values() if component else ())
            if all(claim.name in self.request.known for claim in self.matrix.component(waiver).releases[0].requires)
        ]

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
        component = self._component(name)
        return component is not None and component.kind in ("engine", "component")

    def needs(self, candidate: Candidate) -> tuple[Need, ...]:
        """What must hold beside a candidate."""
        if candidate not in self._needs:
            self._needs[candidate] = tuple(self._needs_of(candidate)) if candidate.release else ()
        return self._needs[candidate]

    def _needs_of(self, candidate: Candidate) -> Iterator[Need]:
        assert candidate.release
        component = self.matrix.component(candidate.name)
        for claim, limit in claims_of(self.matrix, candidate.release, self.request):
            if not self.takes_part(claim.name) or self._passed_over(claim):
                continue
            if candidate.waived and component.unless.get(claim.name) == candidate.waived:
                yield Need(name=candidate.waived, condition=self._stand_in(candidate), cause=claim)
            else:
                yield Need(name=claim.name, condition=claim.condition, cause=claim, limit=limit)

    def _stand_in(self, candidate: Candidate) -> Condition:
        """The version of what stands in: that of the component itself (cuda-compat 12.1 for cuda 12.1.1), or, for an
        image, of the one inside it that it stands in for."""
        assert candidate.release
        inside = [
            version
            for name, version in candidate.release.provides.items()
            if (part := self._component(name)) and candidate.waived in part.unless.values()
        ]
        major, minor = (inside or [candidate.version])[0].split(".")[:2]
        return Condition(any=(f"=={major}.{minor}",))

    def _passed_over(self, claim: Claim) -> bool:
        """Lines that the request ignores, and claims between parts that a vendor has put together himself."""
        if self.request.ignored and line_of(claim) in self.request.ignored:
            return True
        owner = claim.owner.partition(" ")[0]
        return (owner, claim.name) in self._vouched or (claim.name in self._assembled and owner in self._assembled)

    @cached_property
    def _assembled(self) -> frozenset[str]:
        """What the pinned container images bring: NVIDIA builds its TensorFlow for other versions than the wheel's."""
        images = [self._component(pin.name) for pin in self.request.pins]
        releases = [release for image in images if image and image.kind == "component" for release in image.releases]
        return frozenset(name for release in releases for name in release.provides)

    @cached_property
    def _vouched(self) -> frozenset[tuple[str, str]]:
        """(partner, name): claims of a partner that every release which a pin admits was put together against."""
        found: set[tuple[str, str]] = set()
        for pin in self.request.pins:
            component = self._component(pin.name)
            releases = [each for each in component.releases if pin.condition.admits(each.version)] if component else []
            pairs = [{(p, name) for p, names in each.vouches.items() for name in names} for each in releases]
            found |= set.intersection(*pairs) if pairs else set()
        return frozenset(found)

    def optional(self, need: Need) -> bool:
        """Whether absence satisfies a need: a limit, on what is not a fact of this host or model."""
        return need.limit and need.name not in self.request.known


def claims_of(matrix: Matrix, release: Release, request: Request) -> Iterator[tuple[Claim, bool]]:
    """What a release claims for what the request is about, and whether it is a mere limit."""
    fact = matrix.component(release.component).kind in FACTS
    for claim in release.requires:
        yield claim, fact
    for claim in (*(release.gpu if request.on_gpu else ()), *(release.ptx if request.ptx else ())):
        yield claim, fact
    for claim in release.beside:
        yield claim, True
    for claim in _provided(matrix, release):
        yield claim, fact
    for claim in request.measured.get((release.component, release.version), ()):
        yield claim, False


def _provided(matrix: Matrix, release: Release) -> Iterator[Claim]:
    """What comes inside a release, as claims; names without a file (a driver's own CUDA) are only shown."""
    for name, version in release.provides.items():
        if not matrix.has(name):
            continue
        ceiling = matrix.component(name).kind == "model"  # onnx 1.14 brings opset 19, and knows all before it
        condition = Condition(any=(f"<={version}",) if ceiling else _named(version))
        owner = f"{release.component} {release.version}"
        yield Claim(
            owner=owner, name=name, condition=condition, source=release.source, evidence=release.evidence, note=INSIDE
        )


def _named(version: str) -> tuple[str, ...]:
    """`8.6.1.6` names our 8.6.1 as well, whose row has no build number; `3.10` names every 3.10.x."""
    if version[0].isalpha():  # words, as gpu-class has them
        return (version,)
    if not version.replace(".", "").isdigit():  # a pre-release or a local version: PEP 440 knows no wildcard there
        return (f"=={version}",)
    shorter = version.rpartition(".")[0]
    return (f"=={version}.*", f"=={shorter}") if version.count(".") > 2 else (f"=={version}.*",)
