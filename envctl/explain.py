"""A conflict put into words: what, because (each line with its source), do."""

from __future__ import annotations

from collections.abc import Iterable

from envctl.claims import INSIDE
from envctl.errors import NoStack, Reason
from envctl.hints import hints
from envctl.matrix import Matrix
from envctl.proof import Proof, claims, minimal
from envctl.release import Claim
from envctl.request import Line, Pin, Request, line_of
from envctl.solver import Conflict
from envctl.versions import newest_first

MAX_LINES, MAX_RELEASES = 12, 3


def no_stack(matrix: Matrix, conflict: Conflict) -> NoStack:
    """The error for a conflict: the needs that clash, the facts they meet, and what would help."""
    request = conflict.request
    pinned = [pin for pin in request.pins if pin.name == request.engine]
    what = f"no stack for {request.engine}{' ' + _asked(pinned[0]) if pinned else ''} on this host"
    for pin in request.pins:
        if unknown := _no_release(matrix, pin, request):
            return NoStack(what, because=[_said(pin), unknown], do=hints(matrix, conflict, None))
    proof = minimal(matrix, conflict)
    return NoStack(what, because=_reasons(matrix, request, proof), do=hints(matrix, conflict, proof))


def _asked(pin: Pin) -> str:
    return str(pin.condition).removeprefix("==").removesuffix(".*")


def _reasons(matrix: Matrix, request: Request, proof: Proof) -> list[Reason]:
    """The proof in lines: what was asked for, what releases claim, what this host has."""
    said = [_said(pin) for pin in proof.pins]
    facts = [_fact(request, name) for name in proof.facts]
    telling = [claim for claim in claims(matrix, request, proof) if not _holds(request, claim)]
    return said + _cut(_because(telling), MAX_LINES - len(said + facts)) + facts


def _holds(request: Request, claim: Claim) -> bool:
    """Whether a fact asks of another what it has: such a line only leads from the one to the other."""
    owner, here = claim.owner.split()[0], request.known.get(claim.name)
    return owner in request.known and here is not None and any(map(claim.condition.admits, here.values))


def _because(found: Iterable[Claim]) -> list[Reason]:
    return [Reason(text=text, source=claim.source) for text, claim in claim_lines(found)]


def _cut(reasons: list[Reason], room: int) -> list[Reason]:
    """As many lines as there is room for; that some are missing is said."""
    if len(reasons) <= room:
        return reasons
    return [*reasons[: room - 1], Reason(text=f"{len(reasons) - room + 1} more claims of other releases", source="")]


def claim_lines(found: Iterable[Claim]) -> list[tuple[str, Claim]]:
    """One line for all releases of a component that claim the same, with the claim of the newest."""
    alike: dict[Line, list[Claim]] = {}
    for claim in dict.fromkeys(found):
        alike.setdefault(line_of(claim), []).append(claim)
    return [(_said_by(claims), claims[0]) for claims in alike.values()]


def _said_by(claims: list[Claim]) -> str:
    """The line for claims that say the same; a release that refuses itself failed when it was tried."""
    first = claims[0]
    if first.owner.split()[0] == first.name:
        return f"{first.owner} {first.note}"
    return f"{_releases(claims)} {first.name} {first.condition}{_note(first)}"


def _note(claim: Claim) -> str:
    return f" ({claim.note})" if claim.note and claim.note != INSIDE else ""


def _releases(claims: list[Claim]) -> str:
    """`cuda 2.1 needs`, `cuda 2.1, 2.0 need`, or `cuda 2.1 and 20 older releases need`; images bring what is inside."""
    versions = newest_first([claim.owner.split()[1] for claim in claims])
    verb = ("bring" if claims[0].note == INSIDE else "need") + ("s" if len(versions) == 1 else "")
    named = ", ".join(versions)
    if len(versions) > MAX_RELEASES:
        named = f"{versions[0]} and {len(versions) - 1} older releases"
    return f"{claims[0].owner.split()[0]} {named} {verb}"


def _said(pin: Pin) -> Reason:
    return Reason(text=f"{pin.name} {pin.condition} is asked for", source=pin.said)


def _no_release(matrix: Matrix, pin: Pin, request: Request) -> Reason | None:
    """What is known instead, for a pin on a version that the matrix does not know."""
    if pin.name in request.known or not matrix.has(pin.name) or not matrix.component(pin.name).releases:
        return None
    if matrix.component(pin.name).kind == "package":  # of packages more versions exist than rows
        return None
    releases = matrix.component(pin.name).releases
    if any(pin.condition.admits(release.version) for release in releases):
        return None
    known = ", ".join(release.version for release in releases[:6])
    return Reason(text=f"the matrix knows no such {pin.name}; newest: {known}", source=f"matrices/{pin.name}.toml")


def _fact(request: Request, name: str) -> Reason:
    known = request.known[name]
    return Reason(text=f"here {name} is {' '.join(known.values) or 'none'}", source=known.origin)
