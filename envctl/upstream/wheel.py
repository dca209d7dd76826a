"""The METADATA of a wheel, on disk or on a server, without fetching the rest of it (HTTP ranges, as uv and pip do)."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from typing import BinaryIO

from envctl.upstream.published import Malformed

METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
TAIL = 128 << 10  # bytes at the end that are fetched first: most wheels have all of it there
PIECE = 64 << 10
Fetch = Callable[[int, int], bytes]


def metadata_of(file: BinaryIO, name: str) -> str:
    """The text of its METADATA; raises `Malformed` for what is no wheel."""
    try:
        with zipfile.ZipFile(file) as archive:
            found = [each for each in archive.namelist() if METADATA.fullmatch(each)]
            if len(found) != 1:
                raise Malformed(f"{name} has {len(found)} METADATA files")
            return archive.read(found[0]).decode("utf-8", errors="replace")
    except zipfile.BadZipFile as error:
        raise Malformed(f"{name}: {error}") from error


def remote(fetch: Fetch, size: int) -> BinaryIO:
    """A file on a server that is read piece by piece; `fetch` gets the bytes from one offset up to another."""
    return io.BufferedReader(_Remote(fetch, size), PIECE)


class _Remote(io.RawIOBase):
    def __init__(self, fetch: Fetch, size: int) -> None:
        self.fetch, self.size, self.at = fetch, size, 0
        self.first = max(0, size - TAIL)
        self.piece = fetch(self.first, size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        end = min(self.at + len(buffer), self.size)
        if self.at >= end:
            return 0
        if not self.first <= self.at < self.first + len(self.piece):
            self.first, self.piece = self.at, self.fetch(self.at, min(max(end, self.at + PIECE), self.size))
        part = self.piece[self.at - self.first : end - self.first]
        if not part:
            raise OSError("the server gave fewer bytes than it was asked for")
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)
