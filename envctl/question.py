"""Do these versions go together? The matrix's answer, with the chain of facts that leads to it. Pure.

Components and engines that are asked about are pinned; hosts, models and packages become facts; all else is free. No
stack: incompatible, with the shortest proof. A stack: compatible, but only where claims lead from one item to the
others; else nobody has said anything about them, and the answer is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from packaging.version import Version

from envctl.claims import FACTS, claims_of
from envctl.matrix import Matrix
from envctl.proof import Proof, claims, minimal
from envctl.release import Claim, Release
from envctl.request import Known, Pin, Request
from envctl.solver import Conflict, Stack, solve, with_provided
from envctl.versions import Condition, boundaries, is_bits

Verdict = Literal["compatible", "incompatible", "unknown"]
GPU_SIDE = frozenset({"cuda", "cudnn", "cuda-compat", "driver", "driver-windows", "gpu", "gpu-class", "tensorrt"})
OTHER_SYSTEMS = frozenset({"driver-windows"})


def foreign(known: Mapping[str, Known]) -> frozenset[str]:
    """The facts of another operating system than the machine's: under WSL the driver is Windows', else never."""
    return frozenset({"driver"}) if known.get("driver-windows") else OTHER_SYSTEMS


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The verdict on some items and the claims behind it; `because` says what no claim says."""

    verdict: Verdict
    chain: tuple[Claim, ...] = ()
    facts: tuple[str, ...] = ()
    contradicted: tuple[Claim, ...] = ()
    because: str = ""
    nearest: tuple[str, ...] = ()


def answer(matrix: Matrix, items: tuple[Pin, ...]) -> Answer:
    """Whether one stack can hold all items."""
    for item in items:
        if unknown := unknown_release(matrix, item):
            return unknown
    request = request_for(matrix, items)
    found = solve(matrix, request)
    if isinstance(found, Conflict):
        return _incompatible(matrix, found)
    return _compatible(matrix, request, found, items)


def unknown_release(matrix: Matrix, item: Pin) -> Answer | None:
    """The answer where the matrix has no such release; of hosts and packages more versions exist than rows."""
    component = matrix.component(item.name)
    if component.kind in FACTS or any(item.condition.admits(release.version) for release in component.releases):
        return None
    nearest = _nearest([release.version for release in component.releases], item.condition)
    return Answer(verdict="unknown", because=f"the matrix knows no {item.said}", nearest=tuple(nearest))


def _nearest(versions: list[str], condition: Condition, count: int = 3) -> list[str]:
    """The versions that stand closest to the one asked for."""
    asked = Version(max(boundaries(condition), key=Version, default="0"))
    older = [version for version in versions if Version(version) < asked]
    return versions[max(0, len(versions) - len(older) - count // 2 - 1) :][:count]


def request_for(matrix: Matrix, items: tuple[Pin, ...]) -> Request:
    """The question as the solver takes it."""
    names = {item.name for item in items}
    kinds = {name: matrix.component(name).kind for name in matrix.names()}
    known = {item.name: values_of(matrix, item) for item in items if kinds[item.name] in FACTS}
    if "python" not in names:
        pythons = tuple(release.version for release in matrix.component("python").releases)
        known["python"] = Known(values=pythons, origin="matrices/python.toml")
    elif (python := next(item for item in items if item.name == "python")) and kinds["python"] not in FACTS:
        known["python"] = values_of(matrix, python)
    known = with_provided(matrix, known)
    engines = [item.name for item in items if kinds[item.name] not in FACTS]
    return Request(
        engine=(engines or [items[0].name])[0],
        pins=items,
        known=known,
        deferred=frozenset(name for name, kind in kinds.items() if kind in ("host", "model")) - set(known),
        on_gpu=bool(names & GPU_SIDE) or any(_for_gpus(matrix, name) for name in names),
        foreign=OTHER_SYSTEMS - names,
    )


def _for_gpus(matrix: Matrix, name: str) -> bool:
    """Whether a component cannot do without CUDA: then what stands beside it is meant for a GPU too."""
    newest = matrix.component(name).releases[:1]
    return any(claim.name == "cuda" for release in newest for claim in release.requires)


def values_of(matrix: Matrix, item: Pin) -> Known:
    """The values that an item leaves to a fact: its versions among all that any claim draws a line at, newest first."""
    if any(map(is_bits, item.condition.any)):
        return Known(values=tuple(bits.replace(",", " ") for bits in item.condition.any), origin=item.said)
    lines = set(boundaries(item.condition)) | {release.version for release in matrix.component(item.name).releases}
    lines |= matrix.lines_drawn(item.name)
    values = sorted(filter(item.condition.admits, lines), key=Version, reverse=True)
    rows = [value for value in values if matrix.component(item.name).row(value)]  # they say something themselves
    return Known(values=tuple(rows or values), origin=item.said)


def _incompatible(matrix: Matrix, conflict: Conflict) -> Answer:
    proof = minimal(matrix, conflict)
    chain = tuple(claims(matrix, conflict.request, proof))
    return _judged("incompatible", matrix, chain, _facts(conflict.request, proof))


def _facts(request: Request, proof: Proof) -> tuple[str, ...]:
    """What was asked about, as far as the proof needs it; that every Python is free says nothing."""
    named = [pin.said for pin in (*proof.asked, *proof.pins)]
    return tuple(dict.fromkeys(named + [request.known[name].origin for name in proof.facts if name != "python"]))


def _judged(verdict: Verdict, matrix: Matrix, chain: tuple[Claim, ...], facts: tuple[str, ...] = ()) -> Answer:
    """The verdict, unless its chain rests on something nobody has looked at."""
    doubtful = [claim for claim in chain if claim.evidence == "unverified"]
    if doubtful:
        because = f"{doubtful[0].owner} on {doubtful[0].name} is unverified"
        return Answer(verdict="unknown", chain=chain, facts=facts, because=because)
    return Answer(verdict=verdict, chain=chain, facts=facts, contradicted=tuple(_contradicted(matrix, chain)))


def _contradicted(matrix: Matrix, chain: tuple[Claim, ...]) -> Iterator[Claim]:
    """What other sources say of the same claims."""
    for claim in chain:
        owner, version = claim.owner.split()
        row = matrix.component(owner).row(version)
        yield from (other for other in (row.contradicts if row else ()) if other.name == claim.name)


def _compatible(matrix: Matrix, request: Request, stack: Stack, items: tuple[Pin, ...]) -> Answer:
    """Compatible where claims lead from the first item to each other one."""
    edges = list(_edges(matrix, request, stack))
    chain: dict[Claim, None] = {}
    for item in items[1:]:
        path = _path(edges, items[0].name, item.name)
        if path is None:
            return Answer(verdict="unknown", because=f"no fact links {items[0].said} and {item.said}")
        chain.update(dict.fromkeys(path))
    return _judged("compatible", matrix, tuple(chain))


def _edges(matrix: Matrix, request: Request, stack: Stack) -> Iterator[Claim]:
    """The claims of a stack's releases on what is in the stack."""
    for name, choice in stack.choices.items():
        release = _row(matrix, name, choice.version)
        for claim, _ in claims_of(matrix, release, request) if release else ():
            met = _as_met(matrix, stack, claim) if claim.name in stack.choices else None
            if met:
                yield met


def _as_met(matrix: Matrix, stack: Stack, claim: Claim) -> Claim | None:
    """The claim; where another component stands in for it, its note says so; None for one that was passed over."""
    if claim.condition.admits(stack.version(claim.name)):
        return claim
    stand_in = matrix.component(claim.owner.split()[0]).unless.get(claim.name, "")
    if stand_in not in stack.choices:
        return None
    return replace(claim, note=f"{stand_in} {stack.version(stand_in)} stands in for it")


def _row(matrix: Matrix, name: str, version: str) -> Release | None:
    return matrix.component(name).row(version) if matrix.has(name) else None


def _path(edges: list[Claim], start: str, end: str) -> list[Claim] | None:
    """The shortest chain of claims between two components, whichever way each points."""
    paths: dict[str, list[Claim]] = {start: []}
    open_ = [start]
    for name in open_:
        if name == end:
            return paths[name]
        for claim in edges:
            ends = (claim.owner.split()[0], claim.name)
            if name in ends:
                other = ends[1] if ends[0] == name else ends[0]
                if other not in paths:
                    paths[other] = [*paths[name], claim]
                    open_.append(other)
    return None
