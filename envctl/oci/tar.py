"""Tar headers that depend on path, kind, mode and size alone: ustar, and one PAX record where ustar cannot say a path.

POSIX.1-1988 (ustar) and POSIX.1-2001 (pax): https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
"""

from __future__ import annotations

import hashlib

from envctl.oci.entry import Entry

BLOCK = 512
END = bytes(2 * BLOCK)
TYPES = {"file": b"0", "link": b"2", "folder": b"5"}
NAME, PREFIX = 100, 155


def headers(entry: Entry, below: str) -> bytes:
    """The headers of an entry of an environment that stands at `below`; a path `/…` is one of the whole image."""
    path = f"{below}/{entry.path}".strip("/") if entry.path[:1] != "/" else entry.path[1:]
    name = (path + ("/" if entry.kind == "folder" else "")).encode()
    target = entry.target.encode()
    split = _split(name)
    pax = b""
    if split is None or not name.isascii():
        pax += _record("path", name)
    if len(target) > NAME:
        pax += _record("linkpath", target)
    size = entry.size if entry.kind == "file" else 0
    if not pax:
        assert split is not None
        return _header(split[1], split[0], entry.mode, size, TYPES[entry.kind], target)
    short = b"pax/" + hashlib.sha256(name).hexdigest().encode()
    before = _header(short, b"", 0o644, len(pax), b"x", b"") + padded(pax)
    return before + _header(short, b"", entry.mode, size, TYPES[entry.kind], target[:NAME])


def padding(size: int) -> bytes:
    """What follows that many bytes up to a whole block."""
    return bytes(-size % BLOCK)


def padded(data: bytes) -> bytes:
    """The bytes and their padding."""
    return data + padding(len(data))


def file_header(name: str, size: int) -> bytes:
    """The header of a file of any size in an archive for Docker."""
    return _header(name.encode(), b"", 0o644, size, b"0", b"")


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """The path as ustar's prefix and name, None when it does not fit."""
    if len(name) <= NAME:
        return b"", name
    cut = name.find(b"/", max(0, len(name) - NAME - 1), len(name) - 1)
    return (name[:cut], name[cut + 1 :]) if 0 < cut <= PREFIX else None


def _record(key: str, value: bytes) -> bytes:
    """A PAX record, which begins with its own length."""
    rest = b" " + key.encode() + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def _header(name: bytes, prefix: bytes, mode: int, size: int, kind: bytes, target: bytes) -> bytes:
    """One block: owner 0:0 without names, time 0."""
    fields = [
        name.ljust(NAME, b"\0"), b"%07o\0" % mode, b"%07o\0" % 0, b"%07o\0" % 0, _number(size), b"%011o\0" % 0,
        b" " * 8, kind, target.ljust(NAME, b"\0"), b"ustar\x0000", bytes(64), b"%07o\0" % 0, b"%07o\0" % 0,
        prefix.ljust(PREFIX, b"\0"),
    ]  # fmt: skip
    block = b"".join(fields).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _number(size: int) -> bytes:
    """A size: octal, or from 8 GiB on (whole layers in an archive) GNU's base 256, which Go and GNU tar read."""
    return b"%011o\0" % size if size < 8 << 30 else b"\x80" + size.to_bytes(11, "big")
