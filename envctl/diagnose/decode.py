"""Bytes of a log -> numbered lines of plain text: any encoding, colours and progress bars taken out, memory bounded."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO, TypeAlias

from envctl.errors import BadInput

BLOCK = 1 << 19
LONGEST = 1 << 14
OVERLAP = 1 << 10
BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
COLOUR = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_=>])")
CONTROL = bytes(set(range(32)) - set(b"\t\n\r\x08\x0c\x1b") - {0}) + b"\x7f"
PACKED = {
    b"\x1f\x8b": "gunzip -c",
    b"BZh": "bzcat",
    b"\xfd7zXZ": "xzcat",
    b"(\xb5/\xfd": "zstdcat",
    b"PK\x03\x04": "unzip -p",
}
Block: TypeAlias = "list[tuple[int, bytes]]"


def blocks(stream: BinaryIO) -> Iterator[Block]:
    """Lines with their numbers, a block at a time; raises `BadInput` when it is no text."""
    number, rest = 1, b""
    for block in _utf8(stream):
        *whole, rest = (rest + block).split(b"\n")
        if whole:
            yield _numbered(number, whole)
            number += len(whole)
        if len(rest) > BLOCK:  # a line without end is cut, with some of it in both parts
            yield _numbered(number, [rest])
            rest = rest[-OVERLAP:]
    if rest:
        yield _numbered(number, [rest])


def _numbered(first: int, lines: list[bytes]) -> Block:
    joined = b"\n".join(lines)
    if b"\x1b" in joined:
        lines = COLOUR.sub(b"", joined).split(b"\n")
    if b"\r" not in joined and max(map(len, lines)) <= LONGEST:
        return list(enumerate(lines, first))
    return [(number, piece) for number, line in enumerate(lines, first) for piece in _pieces(line)]


def _pieces(line: bytes) -> Iterator[bytes]:
    """What a terminal showed one after the other in one line, and long lines in parts that overlap."""
    for shown in line.split(b"\r"):
        for start in range(0, max(len(shown), 1), LONGEST - OVERLAP):
            yield shown[start : start + LONGEST]


def _utf8(stream: BinaryIO) -> Iterator[bytes]:
    first = stream.read(BLOCK)
    encoding = _encoding(first)
    if encoding == "utf-8":
        yield first.removeprefix(codecs.BOM_UTF8)
        while block := stream.read(BLOCK):
            yield block
        return
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    block = first
    while block:
        yield decoder.decode(block).encode("utf-8", errors="replace")
        block = stream.read(BLOCK)


def _encoding(start: bytes) -> str:
    """How the bytes are to be read. One-byte encodings count as UTF-8: what patterns look for is ASCII."""
    for mark, encoding in BOMS:
        if start.startswith(mark):
            return encoding
    for magic, tool in PACKED.items():
        if start.startswith(magic):
            raise BadInput("this is a compressed file, not a log", do=[f"{tool} FILE | envctl explain -"])
    sample = start[: 1 << 16]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) > len(sample) // 3:
        return "utf-16-be" if even > odd else "utf-16-le"
    strange = len(sample) - len(sample.translate(None, CONTROL + b"\0"))
    if strange * 20 > len(sample):
        raise BadInput("this is a binary file, not a log", do=["give the text that the program printed"])
    return "utf-8"
