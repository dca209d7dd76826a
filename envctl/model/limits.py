"""Untrusted files: what may be read of one, and how it is opened. A reader that meets more gives up with one error."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

MAX_STRUCTURE = 64 << 20  # of JSON, text graphs and pickles: what is parsed whole
MAX_NODES = 2_000_000
MAX_NAMES = 200_000  # inputs, outputs, distinct operators, files
MAX_DEPTH = 64
MAX_MEMBERS = 100_000  # of an archive
Each = TypeVar("Each")


class Damaged(ValueError):
    """The bytes are not what they claim to be, or end too early."""


class TooMuch(Damaged):
    """The file asks for more than any honest one does."""


@contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """The file's bytes, read as they are touched. An empty file is an empty view."""
    with path.open("rb") as stream:
        if not stream.seek(0, 2):
            yield memoryview(b"")
            return
        # never closed by hand: it goes when the last view of it does
        yield memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def at_most(limit: int, what: str, items: Iterable[Each]) -> Iterator[Each]:
    """The items; raises `TooMuch` at the first beyond `limit`."""
    for index, item in enumerate(items):
        if index >= limit:
            raise TooMuch(f"more than {limit:,} {what}")
        yield item


def small_enough(size: int, what: str, limit: int = MAX_STRUCTURE) -> int:
    """The size; raises `TooMuch` where it is above the limit."""
    if size > limit:
        raise TooMuch(f"{what} of {size:,} bytes (at most {limit:,} are read)")
    return size


def elements(sizes: Iterable[int]) -> int:
    """How many elements a stored tensor of these sizes has."""
    return math.prod(max(0, size) for size in at_most(MAX_DEPTH, "sizes in a shape", sizes))
