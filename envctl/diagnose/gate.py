"""Which patterns a block of a log can contain at all: told by its words, in a thousandth of the time of looking."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from envctl.diagnose.literal import literals_of

WORD = re.compile(rb"[a-z_]{2,}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A literal with the words that a text must have for it to be there, and the pieces that words must have."""

    literal: bytes
    whole: frozenset[bytes]
    pieces: tuple[bytes, ...]
    pattern: str


class Words:
    """The different words of a block, in lower case."""

    def __init__(self, text: bytes) -> None:
        self.all = set(WORD.findall(text))
        self.joined = b"\n".join(self.all)

    def admit(self, gate: Gate) -> bool:
        """Whether the block can contain the gate's literal."""
        return gate.whole <= self.all and all(piece in self.joined for piece in gate.pieces)


def gates(patterns: Iterable[str]) -> Iterator[Gate]:
    """The gates of each pattern, one for each text of which it needs one."""
    for pattern in dict.fromkeys(patterns):
        yield from _gates(pattern)


@cache
def _gates(pattern: str) -> tuple[Gate, ...]:
    return tuple(_gate(literal.encode(), pattern) for literal in sorted(literals_of(pattern)))


def _gate(literal: bytes, pattern: str) -> Gate:
    """Words at an end of the literal can be parts of longer ones in the text."""
    whole: list[bytes] = []
    pieces: list[bytes] = []
    for found in WORD.finditer(literal):
        inside = found.start() > 0 and found.end() < len(literal)
        (whole if inside else pieces).append(found[0])
    return Gate(literal=literal, whole=frozenset(whole), pieces=tuple(pieces), pattern=pattern)
