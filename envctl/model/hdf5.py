"""The part of HDF5 that Keras's files use: groups, attributes, and types and shapes of datasets; values are not read.

Read are superblocks 0 to 3, object headers 1 and 2, symbol tables and compact links, text in attributes. Not read, and
said so: groups and attributes in fractal heaps (files made with libver="latest"), shared and filtered messages.
Format: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from envctl.model.limits import MAX_DEPTH, MAX_NAMES, MAX_STRUCTURE, Damaged, TooMuch, at_most, elements, small_enough

SIGNATURE = b"\x89HDF\r\n\x1a\n"
DATASPACE, LINK_INFO, DATATYPE, LINK, ATTRIBUTE, CONTINUED, SYMBOLS, ATTRIBUTE_INFO = 1, 2, 3, 6, 12, 16, 17, 21
FIXED, FLOAT, STRING, VARIABLE = 0, 1, 3, 9
FLOATS = {2: "float16", 4: "float32", 8: "float64"}
NOWHERE = (1 << 64) - 1
MAX_MESSAGES = 10_000  # of one object
LATEST = "it keeps names in a fractal heap (libver='latest'), which envctl does not read"


@dataclass(kw_only=True, slots=True)
class Object:
    """One object's messages: (kind, content)."""

    messages: list[tuple[int, memoryview]] = field(default_factory=list)

    def first(self, kind: int) -> memoryview | None:
        """The content of its first message of that kind."""
        return next((data for number, data in self.messages if number == kind), None)


class Hdf5:
    """An HDF5 file in memory. Every method raises `Damaged` for what lies outside the file or is no HDF5."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.left = MAX_NAMES  # objects and names that may still be met
        if bytes(data[:8]) != SIGNATURE:
            raise Damaged("it has no HDF5 signature")
        version = self.number(8, 1)
        if version in (0, 1):
            sizes = (self.number(13, 1), self.number(14, 1))
            self.root = self.number((24 if version == 0 else 28) + 4 * 8 + 8, 8)
        elif version in (2, 3):
            sizes = (self.number(9, 1), self.number(10, 1))
            self.root = self.number(12 + 3 * 8, 8)
        else:
            raise Damaged(f"superblock version {version}")
        if sizes != (8, 8):
            raise Damaged("its offsets and lengths are not of 8 bytes")

    def number(self, at: int, size: int) -> int:
        """An unsigned number in the file."""
        return int.from_bytes(self.part(at, size), "little")

    def part(self, at: int, size: int) -> memoryview:
        """A stretch of the file."""
        if at < 0 or at + size > len(self.data):
            raise Damaged("it points outside itself: cut off, or damaged")
        return self.data[at : at + size]

    def spend(self, steps: int) -> None:
        """Count objects and names; raises `TooMuch` where a circle or a flood of them is in the file."""
        self.left -= steps
        if self.left < 0:
            raise TooMuch(f"more than {MAX_NAMES:,} objects, or groups in a circle")

    def object(self, at: int) -> Object:
        """The object whose header stands there."""
        self.spend(1)
        if bytes(self.part(at, 4)) == b"OHDR":
            return _new_object(self, at)
        if self.number(at, 1) != 1:
            raise Damaged("an object has no header")
        return _old_object(self, at)

    def links(self, group: Object) -> Iterator[tuple[str, int]]:
        """The names in a group, each with where its object stands."""
        table = group.first(SYMBOLS)
        if table is not None and len(table) >= 16:
            heap = self._heap(int.from_bytes(table[8:16], "little"))
            yield from self._tree(int.from_bytes(table[:8], "little"), heap, 0)
        for kind, content in group.messages:
            if kind == LINK:
                yield from _link(content)
            elif kind == LINK_INFO and len(content) >= 18 and _address(content[-16:-8]) not in (0, NOWHERE):
                raise Damaged(LATEST)

    def _heap(self, at: int) -> int:
        """Where the names of a group stand."""
        if bytes(self.part(at, 4)) != b"HEAP":
            raise Damaged("a group has no names")
        return self.number(at + 24, 8)

    def _tree(self, at: int, heap: int, depth: int) -> Iterator[tuple[str, int]]:
        if depth > MAX_DEPTH:
            raise TooMuch("groups in a circle")
        mark = bytes(self.part(at, 4))
        if mark == b"SNOD":
            self.spend(self.number(at + 6, 2))
            for index in range(self.number(at + 6, 2)):
                entry = at + 8 + 40 * index
                yield self._text(heap + self.number(entry, 8)), self.number(entry + 8, 8)
        elif mark == b"TREE":
            self.spend(1)
            for index in range(self.number(at + 6, 2)):
                yield from self._tree(self.number(at + 32 + 16 * index, 8), heap, depth + 1)
        else:
            raise Damaged("a group has no list of its members")

    def _text(self, at: int) -> str:
        found = bytes(self.part(at, min(1024, max(0, len(self.data) - at))))
        return found.split(b"\0")[0].decode("utf-8", errors="replace")

    def attributes(self, owner: Object) -> dict[str, str]:
        """The attributes that are one text each."""
        found = {}
        for kind, content in owner.messages:
            if kind == ATTRIBUTE_INFO and len(content) >= 18 and _address(content[-16:-8]) not in (0, NOWHERE):
                raise Damaged(LATEST)
            if kind == ATTRIBUTE:
                name, text = _attribute(self, content)
                if text is not None:
                    found[name] = text
        return found

    def heap_object(self, at: int, index: int) -> memoryview:
        """A text that is kept in a global heap."""
        if bytes(self.part(at, 4)) != b"GCOL":
            raise Damaged("a text is not where it should be")
        end = at + self.number(at + 8, 8)
        at += 16
        for _ in range(MAX_MESSAGES):
            if at + 16 > min(end, len(self.data)):
                break
            size = self.number(at + 8, 8)
            if self.number(at, 2) == index:
                return self.part(at + 16, small_enough(size, "a text", MAX_STRUCTURE))
            at += 16 + (size + 7) // 8 * 8
        raise Damaged("a text is not where it should be")

    def datasets(self) -> Iterator[tuple[str, tuple[str, int, int]]]:
        """Each dataset's path with its element type, its number of elements and their bytes."""
        yield from at_most(MAX_NAMES, "datasets", self._below(self.object(self.root), "", 0, {self.root}))

    def _below(
        self, group: Object, prefix: str, depth: int, seen: set[int]
    ) -> Iterator[tuple[str, tuple[str, int, int]]]:
        if depth > MAX_DEPTH:
            raise TooMuch("groups in a circle")
        for name, at in self.links(group):
            if at in seen:
                continue
            seen.add(at)
            child = self.object(at)
            space, kind = child.first(DATASPACE), child.first(DATATYPE)
            if space is not None and kind is not None:
                dtype, width = _dtype(kind)
                count = elements(_sizes(space))
                yield prefix + name, (dtype, count, count * width)
            else:
                yield from self._below(child, f"{prefix}{name}/", depth + 1, seen)


def _old_object(file: Hdf5, at: int) -> Object:
    """An object header of version 1: its messages, and the blocks that go on with them."""
    found, blocks = Object(), [(at + 16, file.number(at + 8, 4))]
    for start, size in at_most(MAX_MESSAGES, "blocks in an object", _growing(blocks)):
        place, end = start, start + size
        while place + 8 <= end:
            kind, length = file.number(place, 2), file.number(place + 2, 2)
            _keep(found, kind, file.part(place + 8, length), file.number(place + 4, 1), blocks)
            place += 8 + length
    return found


def _new_object(file: Hdf5, at: int) -> Object:
    """An object header of version 2."""
    flags = file.number(at + 5, 1)
    place = at + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
    width = 1 << (flags & 3)
    found, blocks = Object(), [(place + width, file.number(place, width) + 4)]
    head = 6 if flags & 4 else 4
    for index, (start, size) in enumerate(at_most(MAX_MESSAGES, "blocks in an object", _growing(blocks))):
        place, end = start + (4 if index else 0), start + size - 4  # OCHK before, a checksum behind
        while place + head <= end:
            kind, length = file.number(place, 1), file.number(place + 1, 2)
            _keep(found, kind, file.part(place + head, length), file.number(place + 3, 1), blocks)
            place += head + length
    return found


def _growing(blocks: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    yield from blocks  # a list that grows while it is read: that is what is wanted


def _keep(found: Object, kind: int, content: memoryview, flags: int, blocks: list[tuple[int, int]]) -> None:
    if len(found.messages) >= MAX_MESSAGES:
        raise TooMuch(f"more than {MAX_MESSAGES:,} messages in an object")
    if kind == CONTINUED and len(content) >= 16:
        blocks.append((_address(content[:8]), _address(content[8:16])))
    elif not flags & 2:  # a shared message is kept elsewhere
        found.messages.append((kind, content))


def _address(data: memoryview) -> int:
    return int.from_bytes(data, "little")


def _link(content: memoryview) -> Iterator[tuple[str, int]]:
    """A link message of a group of the newer kind: hard links only."""
    if len(content) < 4:
        return
    flags, at = content[1], 2
    kind = content[at] if flags & 8 else 0
    at += (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    length = _address(content[at : at + width])
    name = bytes(content[at + width : at + width + length]).decode("utf-8", errors="replace")
    at += width + length
    if kind == 0 and at + 8 <= len(content):
        yield name, _address(content[at : at + 8])


def _attribute(file: Hdf5, content: memoryview) -> tuple[str, str | None]:
    """An attribute's name, and its value where that is one text."""
    if len(content) < 9:
        return "", None
    version = content[0]
    names, types, spaces = (_address(content[at : at + 2]) for at in (2, 4, 6))
    at = 9 if version == 3 else 8
    parts = []
    for size in (names, types, spaces):
        parts.append(content[at : at + size])
        at += (size + 7) // 8 * 8 if version == 1 else size
    name = bytes(parts[0]).split(b"\0")[0].decode("utf-8", errors="replace")
    kind, space, value = parts[1], parts[2], content[at:]
    if len(kind) < 8 or content[1] & 3 or elements(_sizes(space)) != 1:
        return name, None
    size = _address(kind[4:8])
    if kind[0] & 15 == STRING:
        return name, bytes(value[:size]).rstrip(b"\0").decode("utf-8", errors="replace")
    if kind[0] & 15 == VARIABLE and kind[1] & 15 == 1 and len(value) >= 16:
        held = file.heap_object(_address(value[4:12]), _address(value[12:16]))
        return name, bytes(held[: _address(value[:4])]).rstrip(b"\0").decode("utf-8", errors="replace")
    return name, None


def _sizes(space: memoryview) -> Iterator[int]:
    if len(space) < 4:
        raise Damaged("a shape is cut off")
    rank, start = space[1], 8 if space[0] == 1 else 4
    if start + 8 * rank > len(space):
        raise Damaged("a shape is cut off")
    if space[0] == 2 and space[3] == 2:  # null: no elements
        return iter((0,))
    return (_address(space[start + 8 * index : start + 8 * index + 8]) for index in range(rank))


def _dtype(kind: memoryview) -> tuple[str, int]:
    """numpy's name of an element type, and its bytes."""
    if len(kind) < 8:
        raise Damaged("an element type is cut off")
    width = _address(kind[4:8])
    if kind[0] & 15 == FLOAT:
        return FLOATS.get(width, f"float{8 * width}"), width
    if kind[0] & 15 == FIXED:
        return f"{'int' if kind[1] & 8 else 'uint'}{8 * width}", width
    return "str" if kind[0] & 15 in (STRING, VARIABLE) else f"HDF5 class {kind[0] & 15}", width
