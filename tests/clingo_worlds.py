"""The solver's question put to clingo: Matrix + Request -> answer-set program -> versions.

The program is written from docs/matrix.md and the docstring of `Request`, not from the solver's code: two readings of
the same rules must give the same answers. A table of the matrix is a row of TABLES, the rest is RULES.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

import clingo
from packaging.version import Version

from envctl.matrix import Matrix
from envctl.release import Claim, Release
from envctl.request import Pin, Request, line_of
from envctl.versions import Condition, boundaries, is_bits

# A component is in the stack when something in the stack asks for it: two that only ask for each other are not, which
# is what "stable model" means. Each has one version then, and every condition on it holds. A limit asks for nothing,
# but a fact of this machine is there without being asked for.
RULES = """
in(N) :- engine(N).
in(N) :- pin(N, _).
in(N) :- pick(O, V), wish(O, V, N, _), not waived(O, V, N).
in(N) :- pick(O, V), limit(O, V, N, _), here(N), not waived(O, V, N).
in(W) :- by(O, V, W).
{ pick(N, V) : value(N, V, _) } = 1 :- in(N).
{ by(O, V, W) : waiver(O, V, _, W, _) } 1 :- pick(O, V).
waived(O, V, N) :- by(O, V, W), waiver(O, V, N, W, _).
claim(O, V, N, C) :- wish(O, V, N, C).
claim(O, V, N, C) :- limit(O, V, N, C).
:- pick(N, V), pin(N, C), not admits(N, C, V).
:- pick(O, V), claim(O, V, N, C), not waived(O, V, N), pick(N, W), not admits(N, C, W).
:- by(O, V, W), waiver(O, V, _, W, C), pick(W, X), not admits(W, C, X).
#minimize { R, N : engine(N), pick(N, V), value(N, V, R); 1000, W : engine(N), by(N, _, W), resort(N, W) }.
#show pick/2.
"""
SOFTWARE = ("engine", "component", "package")
FACTS = ("host", "model", "package")  # what they say of others are limits: a GPU that CUDA can use wishes for no CUDA
# field of a release, when it counts, the kinds of components whose claims are limits there
TABLES: tuple[tuple[str, Callable[[Request], bool], tuple[str, ...]], ...] = (
    ("requires", lambda _: True, FACTS),
    ("gpu", lambda request: request.on_gpu, ("host", "model")),
    ("ptx", lambda request: request.ptx, ("host", "model")),
    ("beside", lambda _: True, (*FACTS, *SOFTWARE)),
)

Row = tuple[str | int, ...]


class World:
    """One question as rows: a predicate and its arguments."""

    def __init__(self, matrix: Matrix, request: Request) -> None:
        self.matrix, self.request = matrix, request
        pinned = {p.name for p in request.pins}
        self.contested = self.disputed()
        self.lines = self.drawn() if any(map(self.open, self.contested)) else {}
        names = {*matrix.names(), *request.known, *self.contested}
        self.releases = {name: self.choices(name) for name in sorted(names)}
        self.names = [name for name, found in self.releases.items() if self.decided(name) or (name in pinned and found)]
        self.assembled = {name for pin in request.pins for release in self.images(pin) for name in release.provides}
        self.may_stand_in = self.stand_ins()

    def decided(self, name: str) -> bool:
        """Whether a stack must hold a version of it: else it is uv's to choose, or a fact of a host still unknown."""
        known = self.request.known.get(name)
        if known is not None:
            return bool(known.values) or name not in self.request.deferred
        if self.open(name):
            return name in self.contested
        return self.matrix.component(name).kind in ("engine", "component")

    def open(self, name: str) -> bool:
        """Whether more versions of it exist than rows: a package, or a fact of a host that nobody has named."""
        fact = self.matrix.has(name) and self.matrix.component(name).kind in ("host", "model")
        return self.package(name) or (fact and name not in self.request.known)

    def package(self, name: str) -> bool:
        """Whether uv chooses it: a stack shows no version, only conditions on it."""
        if name in self.request.known or name in self.request.deferred:
            return False
        return not self.matrix.has(name) or self.matrix.component(name).kind == "package"

    def disputed(self) -> set[str]:
        """What is pinned, and packages that two of the components asked for speak of: one version must please all."""
        asked = {self.request.engine, *(pin.name for pin in self.request.pins)}
        spoken = [claim for name in asked for claim in self.spoken_by(name)]
        return asked | {name for name in spoken if spoken.count(name) > 1 and self.package(name)}

    def spoken_by(self, name: str) -> set[str]:
        """The names that the releases of a component speak of that its pins admit."""
        pins = [pin.condition for pin in self.request.pins if pin.name == name]
        component = self.matrix.component(name) if self.matrix.has(name) and name not in self.request.known else None
        releases = [r for r in (component.releases if component else ()) if all(pin.admits(r.version) for pin in pins)]
        return {claim.name for release in releases for claim, _ in self.said(release)}

    def drawn(self) -> dict[str, set[str]]:
        """By name: the versions at which something said of it changes its mind."""
        lines: dict[str, set[str]] = {}
        for name, condition in self.conditions():
            if self.open(name) and not any(map(is_bits, condition.any)):
                lines.setdefault(name, set()).update(boundaries(condition))
        return lines

    def conditions(self) -> Iterator[tuple[str, Condition]]:
        """Everything that a pin or any release says of a name."""
        yield from ((pin.name, pin.condition) for pin in self.request.pins)
        for release in [release for name in self.matrix.names() for release in self.matrix.component(name).releases]:
            yield from ((claim.name, claim.condition) for claim, _ in self.said(release, every=True))

    def choices(self, name: str) -> list[tuple[str, Release | None]]:
        """The versions it can have, the preferred first, each with the row that speaks for it."""
        component = self.matrix.component(name) if self.matrix.has(name) else None
        known = self.request.known.get(name)
        if self.open(name):
            return self.versions(name, component.releases if component else ())
        releases = sorted(component.releases if component else (), key=lambda each: each.evidence == "unverified")
        versions = known.values if known else [release.version for release in releases]
        best_first = sorted(versions, key=lambda version: (name, version) not in self.request.preferred)
        return [(version, component.row(version) if component else None) for version in best_first]

    def versions(self, name: str, releases: Sequence[Release]) -> list[tuple[str, Release | None]]:
        """Its versions, newest first: the rows, and, where no pin admits one, those at and above each line drawn."""
        pins = [pin.condition for pin in self.request.pins if pin.name == name]
        told = pins and any(all(pin.admits(release.version) for pin in pins) for release in releases)
        lines = set() if told else self.lines.get(name, set())
        above = [f"{line}.0.1" for line in lines if line.replace(".", "").isdigit()]
        found: dict[Version, Release | None] = {Version(text): None for text in (*lines, *above)}
        found |= {Version(release.version): release for release in releases}
        newest_first = sorted(found.items(), key=lambda item: item[0], reverse=True)
        return [(row.version if row else str(version), row) for version, row in newest_first]

    def images(self, pin: Pin) -> list[Release]:
        """The releases that a pin admits, of what may be a vendor's image."""
        component = self.matrix.component(pin.name) if self.matrix.has(pin.name) else None
        releases = component.releases if component and component.kind == "component" else ()
        return [release for release in releases if pin.condition.admits(release.version)]

    def claims(self, release: Release) -> Iterator[tuple[Claim, bool]]:
        """What a release says of what is decided here, without what the request passes over, or what a part of an
        image asks of other software."""
        for claim, limit in self.said(release):
            soft = self.matrix.has(claim.name) and self.matrix.component(claim.name).kind in SOFTWARE
            vendors = soft and release.component in self.assembled
            if claim.name in self.names and not vendors and line_of(claim) not in self.request.ignored:
                yield claim, limit

    def said(self, release: Release, every: bool = False) -> list[tuple[Claim, bool]]:
        """All that a release says for such a request, or for any, and whether it is a mere limit."""
        kind = self.matrix.component(release.component).kind
        tables = [(key, kind in limits) for key, when, limits in TABLES if every or when(self.request)]
        found = [(claim, limit) for key, limit in tables for claim in getattr(release, key)]
        inside = [(name, version) for name, version in release.provides.items() if self.matrix.has(name)]
        found += [(self.inside(release, *part), kind in FACTS) for part in inside]
        return found + [(c, False) for c in self.request.measured.get((release.component, release.version), ())]

    def inside(self, release: Release, name: str, version: str) -> Claim:
        """That a version comes inside a release, as a claim; of opsets, all before it come too."""
        model, numbers = self.matrix.component(name).kind == "model", version.replace(".", "").isdigit()
        specs = [f"<={version}"] if model else [f"=={version}.*" if numbers else f"=={version}"]
        if version.count(".") > 2:  # with a build number, which our rows have not
            specs.append(f"=={version.rpartition('.')[0]}")
        condition = Condition(any=(version,) if version[0].isalpha() else tuple(specs))
        owner = f"{release.component} {release.version}"
        return Claim(owner=owner, name=name, condition=condition, source=release.source, evidence=release.evidence)

    def waivers(self, release: Release) -> Iterator[tuple[str, str, Condition]]:
        """(claimed, other, versions): beside one of these versions of another, claims on a name need not hold."""
        component = self.matrix.component(release.component)
        if release.component in self.request.known:
            return
        for claimed, other in component.unless.items():
            if other in self.may_stand_in:
                yield claimed, other, Condition(any=(f"=={self.of_the_same(release, other)}",))
        for other in {self.request.engine, *(pin.name for pin in self.request.pins)} - {*component.unless.values()}:
            partners = self.matrix.component(other).releases if self.matrix.has(other) else ()
            vouching = [each for each in partners if component.name in each.vouches]
            versions = Condition(any=tuple(f"=={each.version}" for each in vouching))
            yield from ((name, other, versions) for each in vouching[:1] for name in each.vouches[component.name])

    def stand_ins(self) -> frozenset[str]:
        """What may stand in for a claim: only where all that it asks of the host is known, not open."""
        if self.request.stand_ins is not None:
            return self.request.stand_ins
        named = {other for name in self.matrix.names() for other in self.matrix.component(name).unless.values()}
        asked = {other: self.matrix.component(other).releases[0].requires for other in named}
        return frozenset(n for n, claims in asked.items() if all(each.name in self.request.known for each in claims))

    def of_the_same(self, release: Release, other: str) -> str:
        """The major.minor of a release, or of its part that another one stands in for."""
        parts = [part for part in release.provides if self.matrix.has(part)]
        inside = [part for part in parts if other in self.matrix.component(part).unless.values()]
        version = release.provides[inside[0]] if inside else release.version
        return ".".join(version.split(".")[:2])

    def rows(self) -> Iterator[Row]:
        """The whole question."""
        yield ("engine", self.request.engine)
        conditions = {(p.name, p.condition) for p in self.request.pins if p.name in self.names}
        yield from (("pin", name, str(condition)) for name, condition in conditions)
        yield from (("here", name) for name in self.request.known)
        for name in self.matrix.names():
            yield from (("resort", name, other) for other in self.matrix.component(name).unless.values())
        for name in self.names:
            for rank, (version, release) in enumerate(self.releases[name]):
                yield ("value", name, version, rank)
                for claim, limit in self.claims(release) if release else ():
                    conditions.add((claim.name, claim.condition))
                    yield ("limit" if limit else "wish", name, version, claim.name, str(claim.condition))
                    for claimed, other, condition in self.waivers(release) if release else ():
                        if claimed == claim.name:
                            conditions.add((other, condition))
                            yield ("waiver", name, version, claimed, other, str(condition))
        for name, condition in conditions:
            admitted = [version for version, _ in self.releases[name] if condition.admits(version)]
            yield from (("admits", name, str(condition), version) for version in admitted)


class Asp:
    """A world as a ground program that can be asked again and again."""

    def __init__(self, matrix: Matrix, request: Request) -> None:
        self.world = World(matrix, request)
        self.rows = list(self.world.rows())
        text = [f"{head}({','.join(map(json.dumps, arguments))})." for head, *arguments in self.rows]
        self.control = clingo.Control(["--warn=none"])
        self.control.add("base", [], RULES + "\n".join(text))
        self.control.ground([("base", [])])

    def stack(self, chosen: Mapping[str, str] | None = None) -> dict[str, str] | None:
        """The versions of a stack with the best engine that holds what is `chosen`; None when there is none."""
        asked = [(clingo.Function("pick", list(map(clingo.String, item))), True) for item in (chosen or {}).items()]
        found: dict[str, str] = {}

        def keep(model: clingo.Model) -> None:
            found.clear()
            picks = {s.arguments[0].string: s.arguments[1].string for s in model.symbols(shown=True)}
            found.update((name, version) for name, version in picks.items() if not self.world.package(name))

        return found if self.control.solve(assumptions=asked, on_model=keep).satisfiable else None
