"""A conflict put into words: what, because (each line with its source), do."""

from __future__ import annotations

from collections.abc import Iterable

from envctl.errors import NoStack, Reason
from envctl.matrix import Claim, Matrix, Release
from envctl.solver import Conflict, Pin, Request, nearest_versions, relaxations
from envctl.versions import newest_first

MAX_LED, MAX_CLAIMS, MAX_RELEASES = 4, 12, 3


def no_stack(matrix: Matrix, conflict: Conflict) -> NoStack:
    """The error for a conflict: the needs that clash, the facts they meet, and what would help."""
    request = conflict.request
    pinned = [pin for pin in request.pins if pin.name == request.engine]
    what = f"no stack for {request.engine}{' ' + _asked(pinned[0]) if pinned else ''} on this host"
    because = list(dict.fromkeys(_reasons(matrix, conflict)))
    return NoStack(what, because=because, do=_hints(matrix, conflict))


def _asked(pin: Pin) -> str:
    return str(pin.condition).removeprefix("==").removesuffix(".*")


def _reasons(matrix: Matrix, conflict: Conflict) -> list[Reason]:
    """What was asked for, what releases claim, what this host has: the first and the last are never cut."""
    causes = [need.cause for need in conflict.needs]
    clash = [cause for cause in causes if isinstance(cause, Claim)]
    led = _led(matrix, conflict.request, clash)
    owners = {_owner(claim) for claim in led}
    pins = [pin for pin in conflict.request.pins if pin in causes or pin.name in owners]
    reasons = []
    for pin in pins:
        reasons.append(Reason(text=f"{pin.name} {pin.condition} is asked for", source=pin.said))
        reasons += _no_release(matrix, pin, conflict.request)
    return reasons + _claims(led)[:MAX_LED] + _claims(clash)[:MAX_CLAIMS] + _facts(conflict)


def _owner(claim: Claim) -> str:
    return claim.owner.split()[0]


def _led(matrix: Matrix, request: Request, clash: list[Claim]) -> list[Claim]:
    """The claims that lead from the engine down to the releases that clash: why those are considered at all."""
    above: dict[str, list[Claim]] = {request.engine: []}
    layer = [request.engine]
    while layer:
        met = [claim for name in layer for release in _considered(matrix, request, name) for claim in release.requires]
        new = [claim for claim in met if claim.name not in above]
        for claim in new:
            above.setdefault(claim.name, []).append(claim)
        layer = list(dict.fromkeys(claim.name for claim in new))
    found: list[Claim] = []
    names = [_owner(claim) for claim in clash]
    while names:
        claims = above.pop(names.pop(), [])
        found = claims + found
        names += [_owner(claim) for claim in claims]
    shown = {(_owner(claim), claim.name) for claim in clash}
    return [claim for claim in found if (_owner(claim), claim.name) not in shown]


def _considered(matrix: Matrix, request: Request, name: str) -> list[Release]:
    """The releases that the pins on a component admit; only the newest of one that is not pinned."""
    if name in request.known or not matrix.has(name):
        return []
    pins = [pin.condition for pin in request.pins if pin.name == name]
    releases = [r for r in matrix.component(name).releases if all(pin.admits(r.version) for pin in pins)]
    return releases if pins else releases[:1]


def _claims(claims: Iterable[Claim]) -> list[Reason]:
    """One line for all releases of a component that claim the same."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for claim in dict.fromkeys(claims):
        owner, version = claim.owner.split()
        note = f" ({claim.note})" if claim.note else ""
        alike.setdefault((owner, f"{claim.name} {claim.condition}{note}", claim.source), []).append(version)
    return [Reason(text=f"{who} {_releases(found)} {what}", source=page) for (who, what, page), found in alike.items()]


def _releases(versions: list[str]) -> str:
    """`2.1 needs`, `2.1, 2.0 need`, or `2.1 and 20 older releases need`."""
    newest = newest_first(versions)
    if len(newest) > MAX_RELEASES:
        return f"{newest[0]} and {len(newest) - 1} older releases need"
    return f"{', '.join(newest)} {'needs' if len(newest) == 1 else 'need'}"


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
        chosen = stack.choices.get(pin.name) if pin.name != stack.engine else None
        hints.append(f"without {pin.said}: {engine}" + (f", {pin.name} {chosen.version}" if chosen else ""))
    if not hints:
        known = {pin.name: nearest_versions(matrix, pin) for pin in conflict.request.pins}
        hints = [f"known: {name} {', '.join(versions)}" for name, versions in known.items() if versions]
    return hints
