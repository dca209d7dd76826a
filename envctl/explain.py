"""A conflict put into words: what, because (each line with its source), do."""

from __future__ import annotations

from envctl.errors import NoStack, Reason
from envctl.matrix import Claim, Matrix
from envctl.solver import Conflict, Pin, Request, nearest_versions, relaxations

MAX_LINES = 12


def no_stack(matrix: Matrix, conflict: Conflict) -> NoStack:
    """The error for a conflict: the needs that clash, the facts they meet, and what would help."""
    request = conflict.request
    pinned = [pin for pin in request.pins if pin.name == request.engine]
    what = f"no stack for {request.engine}{' ' + _asked(pinned[0]) if pinned else ''} on this host"
    because = list(dict.fromkeys(_reasons(matrix, conflict)))[:MAX_LINES]
    return NoStack(what, because=because, do=_hints(matrix, conflict))


def _asked(pin: Pin) -> str:
    return str(pin.condition).removeprefix("==").removesuffix(".*")


def _reasons(matrix: Matrix, conflict: Conflict) -> list[Reason]:
    reasons = []
    for need in conflict.needs:
        if isinstance(need.cause, Pin):
            reasons.append(Reason(text=f"{need.name} {need.condition} is asked for", source=need.cause.said))
            reasons += _no_release(matrix, need.cause, conflict.request)
        elif isinstance(need.cause, Claim):
            note = f" ({need.cause.note})" if need.cause.note else ""
            text = f"{need.cause.owner} needs {need.name} {need.condition}{note}"
            reasons.append(Reason(text=text, source=need.cause.source))
    return reasons + _facts(conflict)


def _no_release(matrix: Matrix, pin: Pin, request: Request) -> list[Reason]:
    """A pin on a version that the matrix does not know."""
    if pin.name in request.known or not matrix.has(pin.name):
        return []
    releases = matrix.component(pin.name).releases
    if any(pin.condition.admits(release.version) for release in releases):
        return []
    known = ", ".join(release.version for release in releases[:6])
    return [Reason(text=f"the matrix knows no such {pin.name}; newest: {known}", source=f"matrices/{pin.name}.toml")]


def _facts(conflict: Conflict) -> list[Reason]:
    """What this host or this model has, for every component that the conflict is about."""
    reasons = []
    for name in dict.fromkeys(need.name for need in conflict.needs):
        known = conflict.request.known.get(name)
        if known:
            has = " ".join(known.values) or "none"
            reasons.append(Reason(text=f"here {name} is {has}", source=known.origin))
    return reasons


def _hints(matrix: Matrix, conflict: Conflict) -> list[str]:
    hints = []
    for pin, stack in relaxations(matrix, conflict):
        engine = f"{stack.engine} {stack.version(stack.engine)}"
        chosen = stack.choices.get(pin.name)
        hints.append(f"without {pin.said}: {engine}" + (f", {pin.name} {chosen.version}" if chosen else ""))
    if not hints:
        hints = [f"known: {pin.name} {', '.join(nearest_versions(matrix, pin))}" for pin in conflict.request.pins]
    return hints
