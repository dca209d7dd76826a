"""What the matrix says of this machine, as two more facts: engines that cannot run here, installed pairs that break.

Rules know no versions: this reads them out of the claims, so a new release is a new row and no new rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from envctl.host import Fact, HostFacts
from envctl.matrix import Matrix
from envctl.release import Claim, Release

X86_BASE = "sse2"  # every claim on x86 instruction sets implies it
# distributions that are a component of the matrix under another name
ALIASES = {
    "ai-edge-litert": "litert",
    "nvidia-tensorrt": "tensorrt",
    "tensorflow-cpu": "tensorflow",
    "tensorflow-gpu": "tensorflow",
    "tensorflow-intel": "tensorflow",
    "tensorrt-cu11": "tensorrt",
    "tensorrt-cu12": "tensorrt",
    "tensorrt-cu13": "tensorrt",
    "tensorrt-rtx-cu12": "tensorrt-rtx",
    "tensorrt-rtx-cu13": "tensorrt-rtx",
}


def with_claims(matrix: Matrix, host: HostFacts) -> HostFacts:
    """The same facts and, where what they need is known, `engine_limits` and `broken_pairs`."""
    limits = Fact(name="engine_limits", value=engine_limits(matrix, host), origin="matrices/")
    added = {limits.name: limits}
    environments = host.facts.get("python_environments")
    if environments is not None and environments.value is not None:
        pairs = [pair for found in environments.value for pair in broken_pairs(matrix, found)]
        added["broken_pairs"] = Fact(name="broken_pairs", value=pairs, origin="matrices/, *.dist-info")
    return replace(host, facts={**host.facts, **added})


def engine_limits(matrix: Matrix, host: HostFacts) -> list[dict[str, Any]]:
    """For each engine whose newest release this machine's CPU or C library does not admit: what it wants, and the
    newest release that fits (None: there is none)."""
    found = []
    for name in matrix.names():
        component = matrix.component(name)
        if component.kind != "engine" or not component.releases:
            continue
        for fact in ("cpu", "glibc"):
            unmet = _unmet(matrix, host, component.releases[0], fact)
            if unmet:
                fits = (r.version for r in component.releases if not _unmet(matrix, host, r, fact))
                found.append(_limit(fact, component.releases[0], unmet, next(fits, None)))
    return found


def _limit(fact: str, newest: Release, claim: Claim, fits: str | None) -> dict[str, Any]:
    return {
        "fact": fact,
        "engine": newest.component,
        "newest": newest.version,
        "wants": str(claim.condition),
        "fits": fits,
        "source": claim.source,
    }


def _unmet(matrix: Matrix, host: HostFacts, release: Release, fact: str) -> Claim | None:
    """The claim on a fact that this machine is known not to meet."""
    value = host.value(fact)
    for claim in release.requires:
        if claim.name == fact and value:
            if fact == "cpu" and _of_another_architecture(matrix, claim, host.value("arch")):
                continue
            words = matrix.component("cpu").with_implied(value) if fact == "cpu" else value
            if not claim.condition.admits(words):
                return claim
    return None


def _of_another_architecture(matrix: Matrix, claim: Claim, arch: str | None) -> bool:
    """Whether a claim speaks of x86 alone and this machine is none: it then says nothing here."""
    cpu = matrix.component("cpu")
    named = [cpu.with_implied(alternative.replace(",", " ")).split() for alternative in claim.condition.any]
    return arch not in ("x86_64", "AMD64") and all(X86_BASE in words for words in named)


def broken_pairs(matrix: Matrix, environment: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every claim of an installed distribution that another one in the same environment does not meet."""
    there: dict[str, str] = {}
    for site in environment["sites"]:
        there = {**site["distributions"], **there}  # the folder that is looked at first wins
    made = {name: _claims(matrix, name, version, there) for name, version in sorted(there.items())}
    for name, claims in made.items():
        for table, claim in claims:
            if not _admits(claim, there[claim.name]):
                also = [other for ones in made.values() for _, other in ones if other.name == claim.name]
                yield {
                    "prefix": environment["prefix"],
                    "owner": name,
                    "owner_version": there[name],
                    "engine": matrix.component(ALIASES.get(name, name)).kind == "engine",
                    "name": claim.name,
                    "version": there[claim.name],
                    "wants": str(claim.condition),
                    "fits": _fitting(matrix, claim.name, also, {**there, "python": environment.get("version") or ""}),
                    "too_new": _too_new(claim, there[claim.name]),
                    "same_major": _admits_major(matrix, claim, there[claim.name]),
                    "proven_pair": table == "with" and all(each.startswith("==") for each in claim.condition.any),
                    "table": table,
                    "source": claim.source,
                    "evidence": claim.evidence,
                }


def _claims(matrix: Matrix, name: str, version: str, there: dict[str, str]) -> list[tuple[str, Claim]]:
    """What an installed distribution claims of the others that are there, by the table it stands in."""
    component = ALIASES.get(name, name)
    row = matrix.component(component).row(version.partition("+")[0]) if matrix.has(component) else None
    tables = (("requires", row.requires), ("with", row.beside)) if row else ()
    return [
        (table, claim) for table, claims in tables for claim in claims if claim.name in there and claim.name != name
    ]


def _fitting(matrix: Matrix, name: str, claims: list[Claim], there: dict[str, str]) -> str | None:
    """The newest release of a package that everything installed beside it admits, and that admits it; None: there is
    none, "": nobody knows its releases."""
    if not matrix.has(name):
        return ""
    for row in matrix.component(name).releases:
        own = [claim for claim in row.requires if there.get(claim.name)]
        if all(_admits(claim, row.version) for claim in claims) and all(_admits(one, there[one.name]) for one in own):
            return row.version
    return None


def _admits(claim: Claim, version: str) -> bool:
    try:
        return claim.condition.admits(version)
    except InvalidVersion:
        return True  # a version that nobody can order breaks no claim that anybody can prove


def _too_new(claim: Claim, version: str) -> bool:
    """Whether every alternative ends below the version."""
    return all(
        any(
            spec.operator != "!=" and not spec.contains(version, prereleases=True) and _reaches(version, spec.version)
            for spec in SpecifierSet(alternative)
        )
        for alternative in claim.condition.any
    )


def _reaches(version: str, named: str) -> bool:
    return Version(version) >= Version(named.removesuffix(".*"))


def _admits_major(matrix: Matrix, claim: Claim, version: str) -> bool:
    """Whether the claim admits any release of the version's major line."""
    major = version.partition(".")[0]
    rows = matrix.component(claim.name).releases if matrix.has(claim.name) else ()
    return any(_admits(claim, row.version) for row in rows if row.version.partition(".")[0] == major)
