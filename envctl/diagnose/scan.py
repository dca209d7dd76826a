"""One pass over a log: where each pattern was seen. Memory does not grow with the log."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import BinaryIO

from envctl.diagnose.decode import Block, blocks
from envctl.diagnose.gate import Gate, Words, gates
from envctl.diagnose.rules import Rule

WINDOW = 60  # lines within which all patterns of one rule must be
KEEP = 24  # places kept of one pattern: the first ones
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


def scan(stream: BinaryIO, rules: Iterable[Rule]) -> Scan:
    """Where the rules' patterns are in the log; raises `BadInput` when it is no text.

    What a rule asks for nearby is looked for only around lines that tell; of what counts anywhere in a log the
    first place is kept.
    """
    rules = list(rules)
    telling = frozenset(pattern for rule in rules for pattern in rule.line)
    nearby = {pattern for rule in rules for pattern in rule.near}
    search = _Search(list(gates(pattern for rule in rules for pattern in rule.anywhere())), telling, nearby)
    seen: set[int] = set()
    for block in blocks(stream):
        search.found.lines = block[-1][0]
        fresh = block if search.found.lines <= FEW else list(_fresh(block, seen))
        if fresh:
            search.through(fresh)
    return search.found


def _fresh(block: Block, seen: set[int]) -> Iterator[tuple[int, bytes]]:
    """The lines unlike any before, digits aside; what is remembered of them is bounded."""
    if len(seen) > TEMPLATES:
        seen.clear()
    for number, line in block:
        template = hash(line.translate(None, DIGITS))
        if template not in seen:
            seen.add(template)
            yield number, line


class _Search:
    """What is still looked for, and the last lines seen: what is near a line can be before or after it."""

    def __init__(self, wanted: list[Gate], telling: frozenset[str], nearby: Iterable[str]) -> None:
        self.wanted, self.telling, self.nearby = wanted, telling, list(nearby)
        self.found = Scan()
        self.tail: Block = []
        self.open_until = 0  # lines up to this one are near a line that tells

    def through(self, block: Block) -> None:
        """Look through a block of lines."""
        starts, at = [], 0
        for _, line in block:
            starts.append(at)
            at += len(line) + 1
        text = b"\n".join(line for _, line in block).lower()
        words = Words(text)
        told: list[int] = []
        for gate in self.wanted:
            if words.admit(gate):
                told += self._places(gate, block, text, starts)
        self._around(block, told)
        self.wanted = [gate for gate in self.wanted if not self._enough(gate.pattern)]

    def _places(self, gate: Gate, block: Block, text: bytes, starts: list[int]) -> Iterator[int]:
        """Numbers of lines with the gate's pattern, when it is one that tells; all of them are noted."""
        place = text.find(gate.literal)
        while place != -1 and not self._enough(gate.pattern):
            index = bisect_right(starts, place) - 1
            if self._note(block[index], gate.pattern) and gate.pattern in self.telling:
                yield block[index][0]
            place = text.find(gate.literal, starts[index + 1]) if index + 1 < len(starts) else -1

    def _enough(self, pattern: str) -> bool:
        return len(self.found.hits.get(pattern, ())) >= (KEEP if pattern in self.telling else 1)

    def _around(self, block: Block, told: list[int]) -> None:
        """Note what stands near the lines that tell, in this block, the end of the one before and the next one."""
        lines = self.tail + block
        spans = [(number - WINDOW, number + WINDOW) for number in sorted(told)]
        spans.append((block[0][0], self.open_until))
        numbers = [number for number, _ in lines]
        done = -1
        for first, last in sorted(spans):
            for index in range(max(bisect_right(numbers, first - 1), done + 1), bisect_right(numbers, last)):
                for pattern in self.nearby:
                    self._note(lines[index], pattern)
                done = index
        self.open_until = max([self.open_until, *(last for _, last in spans)])
        self.tail = lines[-WINDOW:]

    def _note(self, numbered: tuple[int, bytes], pattern: str) -> bool:
        text = plain(numbered[1])
        match = compiled(pattern).search(text)
        if not match:
            return False
        groups = {name: value for name, value in match.groupdict().items() if value}
        hit = Hit(numbered[0], shown(text, match.start(), match.end()), groups)
        hits = self.found.hits[pattern]
        if hit not in hits[-3:]:  # a line with two of the pattern's texts is tried twice
            hits.append(hit)
        return True


@lru_cache(maxsize=512)
def plain(line: bytes) -> str:
    """The line's text, with the quotes that programs write in other languages made plain, JSON's escapes too."""
    text = line.decode("utf-8", errors="replace")
    if not text.isascii():
        text = text.translate(QUOTES)
    return text.replace('\\"', '"').replace("\0", "")


def shown(text: str, start: int, end: int) -> str:
    """At most `SHOWN` characters of a line, around what matched."""
    if len(text) <= SHOWN:
        return text.strip()
    first = max(0, min(start, end - SHOWN // 2) - 40)
    return ("…" if first else "") + text[first : first + SHOWN].strip() + "…"
