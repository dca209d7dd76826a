"""Entries -> the bytes of a layer: as tar, and as gzip that is put together from the wheels' own compressed members.

A member of a wheel is raw deflate already, with its checksum and size in the directory. So the gzip file has several
members (RFC 1952, 2.2): headers and what is made here in stored blocks, which no version of zlib can write differently,
and between them the wheel's own bytes. What comes out of it is exactly the tar.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from envctl.errors import EnvctlError
from envctl.oci import tar
from envctl.oci.entry import Entry
from envctl.oci.wheel import BLOCK, STORED, Packed, bad_wheel, inflated, raw

GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, no flags, an unknown system
LONGEST_STORED = 0xFFFF
OPEN_FILES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a layer's bytes come to: digest and size of the tar, and of the gzip."""

    diff_id: str
    tar_size: int
    gzip_digest: str
    gzip_size: int


class Archives:
    """The zip files that a layer is read from, some of them open."""

    def __init__(self) -> None:
        self.open: dict[Path, BinaryIO] = {}

    def __enter__(self) -> Archives:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def at(self, path: Path) -> BinaryIO:
        """The open file."""
        if path not in self.open:
            if len(self.open) >= OPEN_FILES:
                self.close()
            self.open[path] = path.open("rb")
        return self.open[path]

    def close(self) -> None:
        """Close them all; they are opened again when needed."""
        with ExitStack() as stack:
            for stream in self.open.values():
                stack.callback(stream.close)
            self.open.clear()


def tar_size(entries: list[Entry], below: str) -> int:
    """The size of the tar, known before anything is inflated."""
    return sum(_whole(entry, below) for entry in entries) + len(tar.END)


def _whole(entry: Entry, below: str) -> int:
    size = entry.size if entry.kind == "file" else 0
    return len(tar.headers(entry, below)) + size + len(tar.padding(size))


def pieces(entries: list[Entry], below: str) -> Iterator[bytes | Entry]:
    """The tar as bytes that are made here, and entries whose bytes are packed, in turns."""
    made = bytearray()
    for entry in entries:
        made += tar.headers(entry, below)
        if isinstance(entry.data, Packed) and entry.size:
            yield bytes(made)
            yield entry
            made = bytearray(tar.padding(entry.size))
        elif isinstance(entry.data, bytes):
            made += tar.padded(entry.data)
        if len(made) >= BLOCK:
            yield bytes(made)
            made.clear()
    yield bytes(made + tar.END)


def tar_bytes(entries: list[Entry], below: str) -> Iterator[bytes]:
    """The tar, in blocks."""
    with Archives() as archives:
        for piece in pieces(entries, below):
            if isinstance(piece, bytes):
                yield from _blocks(piece)
            else:
                yield from _inflated(piece, archives)


def gzip_bytes(entries: list[Entry], below: str) -> Iterator[bytes]:
    """The gzip, in blocks."""
    with Archives() as archives:
        for piece in pieces(entries, below):
            if isinstance(piece, bytes):
                yield from _blocks(stored(piece))
            else:
                yield from _spliced(piece, archives)


def measuring(entries: list[Entry], below: str) -> Generator[bytes, None, Measured]:
    """The tar's blocks, and in the end what tar and gzip come to; every hash that RECORD has is checked on the way."""
    tar_hash, gzip_hash, sizes = hashlib.sha256(), hashlib.sha256(), [0, 0]

    def packed(block: bytes) -> None:
        gzip_hash.update(block)
        sizes[1] += len(block)

    with Archives() as archives:
        for piece in pieces(entries, below):
            if isinstance(piece, bytes):
                packed(stored(piece))
                blocks = _blocks(piece)
            else:
                for block in _spliced(piece, archives):
                    packed(block)
                blocks = _checked(piece, archives)
            for block in blocks:
                tar_hash.update(block)
                sizes[0] += len(block)
                yield block
    digests = [f"sha256:{each.hexdigest()}" for each in (tar_hash, gzip_hash)]
    return Measured(diff_id=digests[0], tar_size=sizes[0], gzip_digest=digests[1], gzip_size=sizes[1])


def measure(entries: list[Entry], below: str) -> Measured:
    """What a layer comes to, its bytes thrown away."""
    generator = measuring(entries, below)
    while True:
        try:
            next(generator)
        except StopIteration as end:
            found: Measured = end.value
            return found


def stored(data: bytes) -> bytes:
    """A gzip member of stored blocks; nothing for nothing."""
    if not data:
        return b""
    parts = [GZIP_HEADER]
    for start in range(0, len(data), LONGEST_STORED):
        block = data[start : start + LONGEST_STORED]
        parts += [_stored_header(len(block), last=start + LONGEST_STORED >= len(data)), block]
    return b"".join([*parts, _trailer(zlib.crc32(data), len(data))])


def _stored_header(size: int, *, last: bool) -> bytes:
    return struct.pack("<BHH", 1 if last else 0, size, size ^ 0xFFFF)


def _trailer(crc: int, size: int) -> bytes:
    return struct.pack("<II", crc, size & 0xFFFFFFFF)


def _spliced(entry: Entry, archives: Archives) -> Iterator[bytes]:
    """A gzip member around a wheel's member."""
    data = entry.data
    assert isinstance(data, Packed)
    yield GZIP_HEADER
    stream = archives.at(data.archive)
    if data.method == STORED:
        yield from _as_stored(raw(stream, data), data.size)
    else:
        yield from raw(stream, data)
    yield _trailer(data.crc, data.size)


def _as_stored(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Stored deflate blocks of bytes that come in blocks of 1 MiB."""
    sent = 0
    for block in blocks:
        for start in range(0, len(block), LONGEST_STORED):
            part = block[start : start + LONGEST_STORED]
            sent += len(part)
            yield _stored_header(len(part), last=sent == size) + part


def _inflated(entry: Entry, archives: Archives) -> Iterator[bytes]:
    assert isinstance(entry.data, Packed)
    return inflated(archives.at(entry.data.archive), entry.data, f"{entry.owner}: {entry.path}")


def _checked(entry: Entry, archives: Archives) -> Iterator[bytes]:
    """The bytes; raises `BadInput` at their end when they are not those that RECORD lists."""
    if entry.hash is None:
        yield from _inflated(entry, archives)
        return
    digest = hashlib.new(entry.hash.algorithm)
    for block in _inflated(entry, archives):
        digest.update(block)
        yield block
    if urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() != entry.hash.digest:
        raise unlike_record(entry)


def unlike_record(entry: Entry) -> EnvctlError:
    """The error for a file whose bytes are not those of its RECORD line."""
    return bad_wheel(entry.owner, f"{entry.path} is not what its RECORD lists: the hashes differ")


def _blocks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), BLOCK):
        yield data[start : start + BLOCK]
