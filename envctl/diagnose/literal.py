"""The text that a regular expression cannot do without: looked for first, since that is a hundred times faster."""

from __future__ import annotations

import re
from collections.abc import Iterator

SHORTEST = 3
GOOD = 5
CUT = "\x00"
ATOM = re.compile(r"\\(.)|\[\^?\]?(?:\\.|[^\]\\])*\]|(.)", re.DOTALL)
MAYBE = re.compile(r"(?:[?*]|\{0?,\d*\})[?+]?")
SOME = re.compile(r"\+[?+]?|\{\d+(?:,\d*)?\}[?+]?")
AHEAD = ("?=", "?!", "?<=", "?<!")


def literals_of(pattern: str) -> frozenset[str]:
    """Texts in lower case of which every match contains at least one; empty when there are none.

    It knows the part of the syntax that rules use: escapes, classes, groups, alternatives, quantifiers. What may be
    left out and classes count as nothing; quotes too, which vary from log to log.
    """
    branches = list(_branches(pattern))
    if len(branches) > 1:
        found = [literals_of(branch) for branch in branches]
        return frozenset().union(*found) if all(found) else frozenset()
    plain, groups = _read(pattern)
    best = max(re.split(r"[\x00'\"`]", plain), key=len).lower()
    if len(best) < GOOD:
        inside = [found for found in map(literals_of, groups) if found and min(map(len, found)) > len(best)]
        if inside:
            return max(inside, key=lambda found: min(map(len, found)))
    return frozenset([best]) if len(best) >= SHORTEST else frozenset()


def _branches(pattern: str) -> Iterator[str]:
    """The alternatives of a pattern's outermost level."""
    depth, start = 0, 0
    for found in ATOM.finditer(pattern):
        depth += (found[0] == "(") - (found[0] == ")")
        if found[0] == "|" and depth == 0:
            yield pattern[start : found.start()]
            start = found.end()
    yield pattern[start:]


def _read(pattern: str) -> tuple[str, list[str]]:
    """The plain text of one alternative, cut where it is not plain, and the insides of groups that must be there."""
    text, groups, at = "", [], 0
    while at < len(pattern):
        if pattern[at] == "(":
            end = _closing(pattern, at)
            inside, piece = pattern[at + 1 : end - 1], CUT
        else:
            found = ATOM.match(pattern, at)
            assert found
            end, inside, piece = found.end(), "", _plain(found)
        maybe, some = MAYBE.match(pattern, end), SOME.match(pattern, end)
        if not maybe and inside and not inside.startswith(AHEAD):
            groups.append(re.sub(r"^\?(?::|P<\w+>)", "", inside))
        text += CUT if maybe else piece + CUT if some else piece
        quantifier = maybe or some
        at = quantifier.end() if quantifier else end
    return text, groups


def _closing(pattern: str, start: int) -> int:
    """The place behind the bracket that closes the group which begins at `start`."""
    depth = 0
    for found in ATOM.finditer(pattern, start):
        depth += (found[0] == "(") - (found[0] == ")")
        if depth == 0:
            return found.end()
    return len(pattern)


def _plain(found: re.Match[str]) -> str:
    """One character as it stands in the text; a cut where the pattern means something else."""
    escaped, single = found[1], found[2]
    if escaped:
        return CUT if escaped.isalnum() else escaped
    return CUT if not single or single in ".^$" else single
