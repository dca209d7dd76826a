"""The shortest proof that there is no stack: pins and facts of which none can be left out, and why they clash.

A line is what all releases of a component say alike ("cuda 12.1, 12.0 need driver >=525"), as a person reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from envctl.claims import claims_of
from envctl.matrix import Matrix
from envctl.narrow import Blame, blame, narrow
from envctl.release import Claim, Release
from envctl.request import Line, Pin, Request, line_of, without_fact, without_pin
from envctl.solver import Conflict, possible, possible_in
from envctl.waivers import stand_ins
from envctl.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What cannot hold together. Leaving out any one pin or fact gives a stack, whatever else the matrix says.

    `lines`, nearest first, are why: about the engine as it was `asked` for, none of them can be left out.
    """

    pins: tuple[Pin, ...]
    asked: tuple[Pin, ...]
    facts: tuple[str, ...]
    lines: tuple[Line, ...]


def minimal(matrix: Matrix, conflict: Conflict) -> Proof:
    """The proof of a conflict, by leaving out one thing after another for as long as the conflict stays."""
    # what may stand in for a claim is settled before facts are left out: else a stand-in would go with its fact
    given = replace(conflict.request, stand_ins=stand_ins(matrix, conflict.request))
    request = _only(given, _first_proof(World(matrix=matrix, request=given)))
    if possible(matrix, request):  # narrowing may blame too little
        request = given
    request = _few_facts_and_pins(matrix, request)
    asked = tuple(pin for pin in request.pins if pin.name == request.engine)
    left = _few_lines(World(matrix=matrix, request=request))
    return Proof(pins=_needed(matrix, request, asked), asked=asked, facts=tuple(request.known), lines=left)


def _few_lines(world: World) -> tuple[Line, ...]:
    """Lines that cannot hold together with the world's pins and facts, none too many, nearest first."""
    blamed = _first_proof(world).lines
    if not blamed or possible_in(world.beside(replace(world.request, only=blamed))):
        blamed = frozenset(lines_of(world))
    left = _nearest_first(world, blamed)
    for line in reversed(left):
        fewer = [other for other in left if other != line]
        left = left if possible_in(world.beside(replace(world.request, only=frozenset(fewer)))) else fewer
    return tuple(left)


def _nearest_first(world: World, lines: frozenset[Line]) -> list[Line]:
    """Lines in the order in which one comes to them from what was asked for."""
    names = list(dict.fromkeys(need.name for need in world.roots()))
    for name in names:
        names += [target for owner, target, _ in sorted(lines) if owner == name and target not in names]
    order = {name: index for index, name in enumerate(names)}
    return sorted(lines, key=lambda line: (order.get(line[0], len(order)), line))


def _few_facts_and_pins(matrix: Matrix, request: Request) -> Request:
    """The request with no fact and no pin too many; the engine's own pin is what was asked about, and stays."""
    for name in list(request.known):
        request = _if_still_conflict(matrix, request, without_fact(request, name))
    for pin in [pin for pin in request.pins if pin.name != request.engine]:
        request = _if_still_conflict(matrix, request, without_pin(request, pin))
    return request


def _needed(matrix: Matrix, request: Request, asked: tuple[Pin, ...]) -> tuple[Pin, ...]:
    """The pins without those on the engine that change nothing: any other release of it would fail as well."""
    for pin in asked:
        request = _if_still_conflict(matrix, request, without_pin(request, pin))
    return request.pins


def lines_of(world: World) -> list[Line]:
    """Every line that a search from the engine and the pins can meet, nearest first; those too that count only when a
    pin or a fact is left out."""
    names = list(dict.fromkeys(need.name for need in world.roots()))
    found: dict[Line, None] = {}
    for name in names:
        releases = [candidate.release for candidate in world.candidates(name) if candidate.release]
        for claim in _claims(world.matrix, releases, world.request):
            found.setdefault(line_of(claim))
            if claim.name not in names:
                names.append(claim.name)
        needs = [need.name for candidate in world.candidates(name) for need in world.needs(candidate)]
        names += [need for need in dict.fromkeys(needs) if need not in names]
    return list(found)


def _first_proof(world: World) -> Blame:
    """What narrowing blames; all pins and facts, and no line, where the conflict shows in the search only."""
    domains = narrow(world)
    wiped = domains.wiped()
    if wiped:
        return blame(domains, wiped)
    return Blame(pins=frozenset(world.request.pins), facts=frozenset(world.request.known), lines=frozenset())


def _only(request: Request, found: Blame) -> Request:
    """The request with only the facts and pins that a first proof names, and with what was asked of the engine."""
    for name in set(request.known) - found.facts:
        request = without_fact(request, name)
    pins = tuple(pin for pin in request.pins if pin in found.pins or pin.name == request.engine)
    return replace(request, pins=pins)


def _if_still_conflict(matrix: Matrix, request: Request, fewer: Request) -> Request:
    return request if possible(matrix, fewer) else fewer


def claims(matrix: Matrix, request: Request, proof: Proof) -> list[Claim]:
    """The claims of a proof's lines, of the releases that its pins and the claims above them leave."""
    asked = replace(request, pins=tuple(dict.fromkeys(proof.asked + proof.pins)))
    found: list[Claim] = []
    for owner in dict.fromkeys(line[0] for line in proof.lines):
        releases = list(_considered(matrix, asked, owner, found))
        found += [claim for claim in _claims(matrix, releases, request) if line_of(claim) in proof.lines]
    return found


def _claims(matrix: Matrix, releases: Iterable[Release], request: Request) -> list[Claim]:
    return [claim for release in releases for claim, _ in claims_of(matrix, release, request)]


def _considered(matrix: Matrix, request: Request, name: str, above: list[Claim]) -> Iterator[Release]:
    """The releases of a component that the facts and pins admit, and that some claim of `above` on it admits."""
    pins = [pin.condition for pin in request.pins if pin.name == name]
    asked = [claim.condition for claim in above if claim.name == name]
    for candidate in World(matrix=matrix, request=request).candidates(name):
        admitted = not asked or any(condition.admits(candidate.version) for condition in asked)
        if candidate.release and not candidate.waived and admitted and all(p.admits(candidate.version) for p in pins):
            yield candidate.release
