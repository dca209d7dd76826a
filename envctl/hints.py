"""What would help where there is no stack: the nearest other pin or fact, each tried by solving again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from packaging.version import Version

from envctl.matrix import Matrix
from envctl.narrow import narrow
from envctl.proof import Proof, claims
from envctl.release import Claim
from envctl.request import Known, Pin, Request, without_fact, without_pin
from envctl.solver import Conflict, Stack, newest_versions, possible, possible_in, solve, solve_in
from envctl.versions import Condition, boundaries, is_bits
from envctl.world import World

FAR = "99999"  # newer than any version that a claim names
TRIES = 40  # nearest versions that are tried for a pin; narrowing has left out most that cannot work


def hints(matrix: Matrix, conflict: Conflict, proof: Proof | None) -> list[str]:
    """One line for each single change that gives a stack; what is known of the pins where none does."""
    request = conflict.request
    found = [*_other_pins(matrix, request), *_stand_ins(matrix, request)]
    if proof:
        found += [hint for name in proof.facts for hint in _other_fact(matrix, request, proof, name)]
        found += _without_evidence(matrix, request, proof)
    if not found and proof and proof.facts:
        found = _another_machine(matrix, request)
    if not found:
        known = {pin.name: newest_versions(matrix, pin) for pin in request.pins}
        found = [f"known: {name} {', '.join(versions)}" for name, versions in known.items() if versions]
    return found


def _other_pins(matrix: Matrix, request: Request) -> Iterator[str]:
    """The nearest version that each pin could be changed to."""
    for pin in request.pins:
        free = without_pin(request, pin)
        if not possible(matrix, free):
            continue
        for version in _nearest(_others(matrix, free, pin), boundaries(pin.condition))[:TRIES]:
            instead = Pin(name=pin.name, condition=Condition(any=(f"=={version}",)), said=f"{pin.name} {version}")
            answer = solve(matrix, replace(free, pins=(*free.pins, instead)))
            if isinstance(answer, Stack):
                yield _instead(answer, pin, version)
                break
        else:
            yield from _without(matrix, free, pin)


def _others(matrix: Matrix, free: Request, pin: Pin) -> list[str]:
    """What narrowing leaves to a component, or all where only the pin brings it in; but not what the pin admits."""
    world = World(matrix=matrix, request=free)
    left = narrow(world).left.get(pin.name) or world.candidates(pin.name)
    return [each.version for each in left if not pin.condition.admits(each.version)]


def _without(matrix: Matrix, free: Request, pin: Pin) -> Iterator[str]:
    """Leaving the pin out, where no version that was tried would do; the stack says what comes in its place."""
    answer = solve(matrix, free)
    if isinstance(answer, Stack) and pin.name in answer.choices:
        yield _instead(answer, pin, answer.version(pin.name))
    elif isinstance(answer, Stack):
        yield f"without {pin.said}: {_engine(answer)}"


def _instead(stack: Stack, pin: Pin, version: str) -> str:
    engine = "" if pin.name == stack.engine else f": {_engine(stack)}"
    return f"with {pin.name} {version} instead of {pin.said}{engine}"


def _nearest(versions: Iterable[str], named: Iterable[str]) -> list[str]:
    """The versions that stand closest to the newest that is named; the newer of two that stand equally close."""
    asked = max(map(Version, named), default=Version("0"))
    ordered = sorted(set(versions), key=Version)
    older = sum(Version(version) < asked for version in ordered)
    newer_first = [*ordered[older:], *reversed(ordered[:older])]
    steps = [*range(len(ordered) - older), *range(older)]
    return [version for _, version in sorted(zip(steps, newer_first, strict=True), key=lambda pair: pair[0])]


def _engine(stack: Stack) -> str:
    return f"{stack.engine} {stack.version(stack.engine)}"


def _without_evidence(matrix: Matrix, request: Request, proof: Proof) -> Iterator[str]:
    """Trying again what failed here before, where nothing else stands in the way."""
    if not any(owner == name for owner, name, _ in proof.lines):
        return
    answer = solve(matrix, replace(request, measured={}))
    if isinstance(answer, Stack):
        yield f"set what was observed here aside with ENVCTL_EVIDENCE=none: {_engine(answer)}"


def _other_fact(matrix: Matrix, request: Request, proof: Proof, name: str) -> Iterator[str]:
    """The nearest value of a fact that would do, among those at which the claims on it change their mind."""
    answer = solve(matrix, without_fact(request, name))
    if not isinstance(answer, Stack):
        return
    conditions = [claim.condition for claim in (*answer.unmet, *claims(matrix, request, proof)) if claim.name == name]
    if name in answer.choices:
        yield f"with {name} {answer.version(name)}: {_engine(answer)}"
    elif any(is_bits(condition.any[0]) for condition in conditions):
        yield f"with {_span(name, conditions)}: {_engine(answer)}"
    else:
        yield from _nearest_value(matrix, request, name, conditions)


def _nearest_value(matrix: Matrix, request: Request, name: str, conditions: list[Condition]) -> Iterator[str]:
    named = {value for condition in conditions for value in boundaries(condition)}
    named |= {release.version for release in matrix.component(name).releases} if matrix.has(name) else set()
    world = World(matrix=matrix, request=request)
    for value in _nearest(named, request.known[name].values):
        answer = solve_in(world.beside(_with_fact(request, name, value)))
        if isinstance(answer, Stack):
            yield f"with {name} {value}{_or_newer(world, name)}: {_engine(answer)}"
            return


def _or_newer(world: World, name: str) -> str:
    """Whether the newest value that has a row, and any after it, would do as well."""
    known = world.matrix.component(name).releases[:1] if world.matrix.has(name) else ()
    newer = [_with_fact(world.request, name, value) for value in (*(row.version for row in known), FAR)]
    return " or newer" if all(possible_in(world.beside(request)) for request in newer) else ""


def _with_fact(request: Request, name: str, value: str) -> Request:
    return replace(request, known={**request.known, name: Known(values=(value,), origin="hint")})


def _values(conditions: list[Condition]) -> list[str]:
    """The versions at which conditions change their mind that satisfy them all, oldest first."""
    named = {value for condition in conditions for value in boundaries(condition)}
    return sorted((value for value in named if all(each.admits(value) for each in conditions)), key=Version)


def _open_end(conditions: list[Condition]) -> bool:
    return all(condition.admits(FAR) for condition in conditions)


def _stand_ins(matrix: Matrix, request: Request) -> Iterator[str]:
    """A component that could stand in for a claim, on a machine that has what it asks for (cuda-compat: a class)."""
    waivers = {name for each in World(matrix=matrix, request=request).reached() for name in each.unless.values()}
    for waiver in sorted(waivers):
        asked = [claim for claim in matrix.component(waiver).releases[0].requires if _words(request, claim)]
        known = {claim.name: Known(values=claim.condition.any[:1], origin="hint") for claim in asked}
        answer = solve(matrix, replace(request, known={**request.known, **known})) if known else None
        if isinstance(answer, Stack) and waiver in answer.choices:
            facts = ", ".join(f"{name} {fact.values[0]}" for name, fact in known.items())
            yield f"with {facts}: {_engine(answer)}, {waiver} {answer.version(waiver)}"


def _words(request: Request, claim: Claim) -> bool:
    return claim.name not in request.known and is_bits(claim.condition.any[0])


def _another_machine(matrix: Matrix, request: Request) -> list[str]:
    """What a machine must have, where no single fact of this one is to blame; tried, as every hint is."""
    free = request
    for name in set(request.known) - {"python"}:
        free = without_fact(free, name)
    answer = solve(matrix, free)
    if not isinstance(answer, Stack):
        return []
    needs: dict[str, list[Condition]] = {}
    for claim in answer.unmet:
        needs.setdefault(claim.name, []).append(claim.condition)
    known = {name: Known(values=tuple(_lowest(found)), origin="hint") for name, found in needs.items()}
    tried = solve(matrix, replace(free, known={**free.known, **known}))
    if not all(fact.values for fact in known.values()) or not isinstance(tried, Stack):
        return []
    spans = [_span(name, found) for name, found in needs.items()]
    return [f"on a machine with {', '.join(spans)}: {_engine(answer)}"]


def _lowest(conditions: list[Condition]) -> list[str]:
    """The least value that all conditions admit: words, or a version."""
    if any(is_bits(condition.any[0]) for condition in conditions):
        return [" ".join(dict.fromkeys(word for each in conditions for word in each.any[0].split(",")))]
    return _values(conditions)[:1]


def _span(name: str, conditions: list[Condition]) -> str:
    """`driver 525.60.13 or newer`, `gpu 6.0 to 9.0`."""
    values = [] if any(is_bits(condition.any[0]) for condition in conditions) else _values(conditions)
    if not values:
        return f"{name} {' and '.join(dict.fromkeys(map(str, conditions)))}"
    if _open_end(conditions):
        return f"{name} {values[0]} or newer"
    return f"{name} {values[0]}" + (f" to {values[-1]}" if len(values) > 1 else "")
