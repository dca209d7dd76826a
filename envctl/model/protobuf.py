"""A walker over protobuf's wire format: fields with their numbers, nothing copied, every length checked.

Why not the onnx package: it would read all weights into memory to say what the header says, it brings protobuf,
numpy and ml-dtypes versions of its own, and it is one more parser in C++ to hand an untrusted file to.
Source of the format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from envctl.model.limits import Damaged

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTH = {FIXED64: 8, FIXED32: 4}
MAX_TEXT = 1 << 20  # a name is never this long; the largest strings of real models are JSON notes
MAX_TEXTS = 128 << 20  # all that is made into strings of one file
MAX_FIELDS = 10_000_000  # of one file: some seconds of walking
# fields and bytes of text that may still be read
_left: ContextVar[list[int] | None] = ContextVar("left", default=None)


class WireError(Damaged):
    """The bytes are not a protobuf message, or end before it does."""


@contextmanager
def bounded(fields_at_most: int = MAX_FIELDS) -> Iterator[None]:
    """Everything that is walked inside has so many fields together, or `WireError` is raised."""
    token = _left.set([fields_at_most, MAX_TEXTS])
    try:
        yield
    finally:
        _left.reset(token)


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
    at, end = 0, len(data)
    left = _left.get() or [MAX_FIELDS, MAX_TEXTS]
    while at < end:
        left[0] -= 1
        if left[0] < 0:
            raise WireError(f"more than {MAX_FIELDS:,} fields")
        key = data[at]
        if key < 0x80:  # nearly all keys and lengths are one byte: graphs have millions of them
            at += 1
        else:
            key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field with number 0")
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == BYTES and at < end and data[at] < 0x80:
            length, at = data[at], at + 1
        else:
            length, at = (_WIDTH[kind], at) if kind in _WIDTH else _length(data, at, kind)
        if length > end - at:
            raise WireError(f"field {number} claims {length} bytes where {end - at} are left")
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
    if len(value) > MAX_TEXT:
        raise WireError(f"a name of {len(value)} bytes")
    if left := _left.get():
        left[1] -= len(value)
        if left[1] < 0:
            raise WireError(f"names of more than {MAX_TEXTS:,} bytes")
    return str(value, "utf-8", errors="replace")


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


def numbers(value: int | memoryview) -> Iterator[int]:
    """The numbers of a repeated field: one, or many packed."""
    if isinstance(value, int):
        yield number(value)
        return
    at = 0
    while at < len(value):
        one, at = varint(value, at)
        yield number(one)
