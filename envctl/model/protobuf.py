"""A walker over protobuf's wire format: fields with their numbers, nothing copied, every length checked.

Why not the onnx package: it would read all weights into memory to say what the header says, it brings protobuf,
numpy and ml-dtypes versions of its own, and it is one more parser in C++ to hand an untrusted file to.
Source of the format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTH = {FIXED64: 8, FIXED32: 4}


class WireError(ValueError):
    """The bytes are not a protobuf message, or end before it does."""


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The unsigned number at `at`, and where the next byte stands."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise WireError("a number of more than 64 bits")
    raise WireError("the file ends inside a number")


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field as (number, value): an int for a number, a view for bytes, strings and nested messages."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field with number 0")
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        length, at = (_WIDTH[kind], at) if kind in _WIDTH else _length(data, at, kind)
        if length > len(data) - at:
            raise WireError(f"field {number} claims {length} bytes where {len(data) - at} are left")
        yield number, data[at : at + length]
        at += length


def _length(data: memoryview, at: int, kind: int) -> tuple[int, int]:
    if kind != BYTES:
        raise WireError(f"wire type {kind}, which protobuf messages of today do not have")
    return varint(data, at)


def text(value: int | memoryview) -> str:
    """A string field."""
    if isinstance(value, int):
        raise WireError("a number where a string should be")
    return bytes(value).decode("utf-8", errors="replace")


def message(value: int | memoryview) -> memoryview:
    """A nested message."""
    if isinstance(value, int):
        raise WireError("a number where a message should be")
    return value


def number(value: int | memoryview) -> int:
    """A number, as the signed 64-bit integer that int64 fields mean."""
    if not isinstance(value, int):
        raise WireError("bytes where a number should be")
    return value - (1 << 64) if value >= 1 << 63 else value
