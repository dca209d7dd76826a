"""Tables of a FlatBuffers file, every offset checked. The format: https://flatbuffers.dev/internals/"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from envctl.model.limits import MAX_NODES, Damaged, TooMuch

MAX_TEXT = 1 << 16


@dataclass(frozen=True, slots=True)
class Table:
    """One table; fields are asked for by their number in the schema, and have a default where they are left out."""

    data: memoryview
    at: int
    left: list[int]  # entries of lists that may still be read, of all tables together

    def number(self, field: int, size: int, *, signed: bool = True, default: int = 0) -> int:
        """A scalar."""
        place = self._place(field)
        return _number(self.data, place, size, signed=signed) if place else default

    def text(self, field: int) -> str:
        """A string; "" where it is left out."""
        place = self._target(field)
        if not place:
            return ""
        length = _number(self.data, place, 4)
        if length > MAX_TEXT:
            raise TooMuch(f"a name of {length} bytes")
        return str(_part(self.data, place + 4, length), "utf-8", errors="replace")

    def table(self, field: int) -> Table | None:
        """A table inside."""
        place = self._target(field)
        return Table(self.data, place, self.left) if place else None

    def tables(self, field: int) -> Iterator[Table]:
        """The tables of a vector."""
        place = self._target(field)
        for index in range(self._count(place, 4)):
            at = place + 4 + 4 * index
            yield Table(self.data, at + _number(self.data, at, 4), self.left)

    def numbers(self, field: int, size: int = 4) -> list[int] | None:
        """The scalars of a vector, None where it is left out."""
        place = self._target(field)
        if not place:
            return None
        return [_number(self.data, place + 4 + size * i, size, signed=True) for i in range(self._count(place, size))]

    def length(self, field: int) -> int:
        """How many a vector of bytes has."""
        place = self._target(field)
        if not place:
            return 0
        count = _number(self.data, place, 4)
        _part(self.data, place + 4, count)
        return count

    def bytes(self, field: int, limit: int) -> bytes:
        """The beginning of a vector of bytes."""
        place = self._target(field)
        return bytes(_part(self.data, place + 4, min(limit, self.length(field)))) if place else b""

    def _count(self, place: int, size: int) -> int:
        if not place:
            return 0
        count = _number(self.data, place, 4)
        _part(self.data, place + 4, count * size)
        self.left[0] -= count
        if self.left[0] < 0:
            raise TooMuch(f"lists of more than {MAX_NODES:,} entries")
        return count

    def _place(self, field: int) -> int:
        """Where a field stands; 0 when it is left out."""
        layout = self.at - _number(self.data, self.at, 4, signed=True)
        if 4 + 2 * field >= _number(self.data, layout, 2):
            return 0
        offset = _number(self.data, layout + 4 + 2 * field, 2)
        return self.at + offset if offset else 0

    def _target(self, field: int) -> int:
        place = self._place(field)
        return place + _number(self.data, place, 4) if place else 0


def root(data: memoryview) -> Table:
    """The file's first table."""
    return Table(data, _number(data, 0, 4), [MAX_NODES])


def _number(data: memoryview, at: int, size: int, *, signed: bool = False) -> int:
    return int.from_bytes(_part(data, at, size), "little", signed=signed)


def _part(data: memoryview, at: int, size: int) -> memoryview:
    if at < 0 or size < 0 or at + size > len(data):
        raise Damaged("it points outside itself: cut off, or damaged")
    return data[at : at + size]
