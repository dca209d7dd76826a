"""One pass over a log: where each pattern was seen. Memory does not grow with the log."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import BinaryIO

from envctl.diagnose.decode import blocks
from envctl.diagnose.literal import literals_of

KEEP = 24  # places kept of one pattern: the first ones; later ones only replace the last
SHOWN = 400
FEW = 20_000  # so many lines are all looked at; of later ones those that differ by more than digits
TEMPLATES = 200_000
DIGITS = b"0123456789"
QUOTES = str.maketrans("‘’‛“”«»´", "'''\"\"\"\"'")
compiled = cache(lambda pattern: re.compile(pattern, re.IGNORECASE))


@dataclass(frozen=True, slots=True)
class Hit:
    """A line on which a pattern was seen: its number, its text (cut around the match) and what groups caught."""

    number: int
    text: str
    groups: Mapping[str, str]


@dataclass(slots=True)
class Scan:
    """How long the log was, and the places of each pattern that was seen."""

    lines: int = 0
    hits: dict[str, list[Hit]] = field(default_factory=lambda: defaultdict(list))


def scan(stream: BinaryIO, patterns: Iterable[str]) -> Scan:
    """Where the patterns are in the log; raises `BadInput` when it is no text."""
    literals: dict[bytes, list[str]] = defaultdict(list)
    for pattern in dict.fromkeys(patterns):
        for literal in literals_of(pattern):
            literals[literal.encode()].append(pattern)
    found, seen = Scan(), set[int]()
    for block in blocks(stream):
        found.lines = block[-1][0]
        fresh = block if found.lines <= FEW else _fresh(block, seen)
        if fresh:
            _search(fresh, literals, found)
    return found


def _fresh(block: list[tuple[int, bytes]], seen: set[int]) -> list[tuple[int, bytes]]:
    """The lines unlike any before, digits aside; what is remembered of them is bounded."""
    kept = []
    if len(seen) > TEMPLATES:
        seen.clear()
    for number, line in block:
        template = hash(line.translate(None, DIGITS))
        if template not in seen:
            seen.add(template)
            kept.append((number, line))
    return kept


def _search(block: list[tuple[int, bytes]], literals: dict[bytes, list[str]], found: Scan) -> None:
    starts, at = [], 0
    for _, line in block:
        starts.append(at)
        at += len(line) + 1
    text = b"\n".join(line for _, line in block).lower()
    for literal, patterns in literals.items():
        place = text.find(literal)
        while place != -1:
            index = bisect_right(starts, place) - 1
            _try(block[index], patterns, found)
            place = text.find(literal, starts[index + 1]) if index + 1 < len(starts) else -1


def _try(numbered: tuple[int, bytes], patterns: list[str], found: Scan) -> None:
    text = plain(numbered[1])
    for pattern in patterns:
        match = compiled(pattern).search(text)
        if match:
            groups = {name: value for name, value in match.groupdict().items() if value}
            hit = Hit(numbered[0], shown(text, match.start(), match.end()), groups)
            hits = found.hits[pattern]
            if hit not in hits[-3:]:  # a line with two of the pattern's texts is tried twice
                hits[KEEP - 1 :] = [hit]


def plain(line: bytes) -> str:
    """The line's text, with the quotes that programs write in other languages made plain, JSON's escapes too."""
    text = line.decode("utf-8", errors="replace").translate(QUOTES)
    return text.replace('\\"', '"').replace("\0", "")


def shown(text: str, start: int, end: int) -> str:
    """At most `SHOWN` characters of a line, around what matched."""
    if len(text) <= SHOWN:
        return text.strip()
    first = max(0, min(start, end - SHOWN // 2) - 40)
    return ("…" if first else "") + text[first : first + SHOWN].strip() + "…"
