"""Where the matrix and a package index differ. Pure: components and what is published in, differences out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from packaging.version import Version

from envctl.matrix import Matrix
from envctl.release import Claim, Component, Release
from envctl.upstream.cited import BY_TAGS, OPEN, Name, distribution, new_versions, row_version, shown_version, source_of
from envctl.upstream.published import ANY, ANY_PYTHON, MINORS, Published, derived, optional_requirements, pythons
from envctl.upstream.ranges import Relation, relation, relation_of_pythons
from envctl.versions import Condition

Kind = Literal["new release", "not on the index", "yanked", "claim", "no claim", "not required", "kept"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One of them: file, release and key (`requires.numpy`, or "" for the release), what stands here and what there.

    `mendable` says whether `envctl matrix update` can write it; what it cannot is for a person.
    """

    kind: Kind
    component: str
    release: str
    key: str = ""
    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    source: str = ""
    mendable: bool = False
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of a new release


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A component beside what is published of its own distribution (`main`) and of others that its claims cite."""

    matrix: Matrix
    component: Component
    main: Published
    others: Mapping[Name, Published | None] = field(default_factory=dict)

    def claims(self, version: Version) -> dict[str, tuple[str, ...]]:
        """What the index says of a release, as claims on names that the matrix knows."""
        found = derived(self.main.releases[version], self.main.requires.get(version, ()))
        return {name: spec for name, spec in found.items() if name in BY_TAGS or self.knows(name)}

    def optional(self, version: Version) -> dict[str, tuple[str, ...]]:
        """The same for what only an extra or some Pythons need."""
        lines = [line for reading in self.main.requires.get(version, ()) for line in reading]
        found = optional_requirements(lines, pythons(self.main.releases[version]))
        return {name: tuple(specs) for name, specs in found.items() if all(specs)}

    def relation(self, name: str, ours: Condition, theirs: Condition) -> Relation:
        """How a claim of ours stands to one of theirs; of python, on the versions that have a row."""
        if name != "python":
            return relation(ours, theirs)
        rows = self.matrix.component("python").releases if self.matrix.has("python") else ()
        oldest = min((Version(row.version).release[1] for row in rows), default=MINORS[0])
        return relation_of_pythons(ours, theirs, range(oldest, MINORS[-1] + 1))

    def knows(self, name: str) -> bool:
        """Whether a requirement on that distribution would be a claim: "os" and "gpu" are no packages."""
        if name in self.component.packages:
            return True
        other = self.matrix.component(name) if self.matrix.has(name) else None
        return other is not None and (other.kind == "package" or (distribution(other) or ("", ""))[1] == name)


def differences(seen: Seen) -> Iterator[Difference]:
    """All of them, new releases first, then row by row; kept ones too."""
    component, main = seen.component, seen.main
    yield from (_new(seen, version) for version in new_versions(component, main))
    for release in component.releases:
        version = row_version(release, main)
        if version is None:
            yield from _claims_on_others(seen, release, None)
        elif version not in main.releases:
            yield _row(seen, release, "not on the index", version)
        else:
            if main.yanked(version) and "yanked" not in release.note:
                yield _row(seen, release, "yanked", version)
            yield from _claims_on_others(seen, release, version)
            yield from _claims(seen, release, version)


def _new(seen: Seen, version: Version) -> Difference:
    claims = {name: spec for name, spec in seen.claims(version).items() if not _says_nothing(spec)}
    return Difference(
        kind="new release",
        component=seen.component.name,
        release=shown_version(seen.component, version, seen.main),
        theirs=tuple(f"{name} {' or '.join(spec)}" for name, spec in claims.items()),
        source=seen.main.source(version),
        mendable=True,
        claims=claims,
    )


def _row(seen: Seen, release: Release, kind: Kind, version: Version) -> Difference:
    name, source = seen.component.name, seen.main.source(version)
    return Difference(kind=kind, component=name, release=release.version, source=source)


def _claims(seen: Seen, release: Release, version: Version) -> Iterator[Difference]:
    """A row's claims against its own release; those that cite another distribution are compared with that one."""
    theirs, source = seen.claims(version), seen.main.source(version)
    ours = {claim.name: claim for claim in release.requires}
    for name, spec in theirs.items():
        if name not in ours:
            if name not in {claim.name for claim in release.beside} and not _says_nothing(spec):
                yield _unclaimed(seen, release, name, spec, source)
        elif not _cites_other(seen, ours[name], version):
            yield from _claim(seen, release, ours[name], spec, source)
    optional = seen.optional(version)
    for name, claim in ours.items():
        if name not in theirs and claim.evidence in OPEN and _comparable(seen, claim, version):
            said = optional.get(name, ())
            if not any(relation(claim.condition, Condition(any=(each,))) == "same" for each in said):
                yield _about(seen, release, claim, "not required", said, source)


def _says_nothing(specs: tuple[str, ...]) -> bool:
    """Whether any version will do: no claim is written for that."""
    return specs in ((ANY,), (ANY_PYTHON,))


def _cites_other(seen: Seen, claim: Claim, version: Version | None) -> bool:
    """Whether a claim stands on another distribution, or on another version of this one."""
    cited = source_of(claim.source)
    if claim.evidence not in OPEN or cited is None:
        return False
    return cited[1] != seen.main.distribution or Version(cited[2]) != version


def _comparable(seen: Seen, claim: Claim, version: Version) -> bool:
    """Whether the index would say it, if it were so: Requires-Dist was read, and the name is a distribution."""
    if claim.name in BY_TAGS or _cites_other(seen, claim, version):
        return False  # no tag says nothing: a pure wheel's engine may still want a glibc
    return version in seen.main.requires and seen.knows(claim.name)


def _claims_on_others(seen: Seen, release: Release, version: Version | None) -> Iterator[Difference]:
    """Claims on python and glibc that stand on other wheels than the row's own."""
    for claim in release.requires:
        cited = source_of(claim.source)
        if not cited or claim.name not in BY_TAGS or not _cites_other(seen, claim, version):
            continue
        published = seen.others.get((cited[0], cited[1]))
        files = published.releases.get(Version(cited[2])) if published else None
        if files is None:
            yield _about(seen, release, claim, "not on the index", (), claim.source)
        elif claim.name in (spec := derived(files)):
            yield from _claim(seen, release, claim, spec[claim.name], claim.source)


def _claim(seen: Seen, release: Release, claim: Claim, theirs: tuple[str, ...], source: str) -> Iterator[Difference]:
    """Nothing where both say the same. A claim is kept where the row says that it contradicts the index, or where it is
    narrower and of a kind of evidence that an index may not correct."""
    how = seen.relation(claim.name, claim.condition, Condition(any=theirs))
    if how == "same":
        return
    contradicted = [each.condition for each in release.contradicts if each.name == claim.name]
    known = any(seen.relation(claim.name, each, Condition(any=theirs)) == "same" for each in contradicted)
    kept = known or (claim.evidence not in OPEN and how == "narrower")
    yield _about(seen, release, claim, "kept" if kept else "claim", theirs, source)


def _about(seen: Seen, release: Release, claim: Claim, kind: Kind, theirs: tuple[str, ...], source: str) -> Difference:
    return Difference(
        kind=kind,
        component=seen.component.name,
        release=release.version,
        key=f"requires.{claim.name}",
        ours=claim.condition.any,
        theirs=theirs,
        source=source if kind != "kept" else claim.source,
        mendable=kind == "claim" and claim.evidence in OPEN and not _says_nothing(theirs),
    )


def _unclaimed(seen: Seen, release: Release, name: str, spec: tuple[str, ...], source: str) -> Difference:
    return Difference(
        kind="no claim",
        component=seen.component.name,
        release=release.version,
        key=f"requires.{name}",
        theirs=spec,
        source=source,
        mendable=release.evidence in OPEN,
    )
