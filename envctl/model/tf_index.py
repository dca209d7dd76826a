"""The index of a TensorFlow checkpoint (`variables.index`): names, element types and shapes of what is stored.

It is a LevelDB table without compression, its values BundleEntryProto messages:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/tensor_bundle.proto,
https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

from collections.abc import Iterator

from envctl.model.limits import MAX_NAMES, Damaged, at_most, elements
from envctl.model.protobuf import fields, message, number, varint
from envctl.model.tf_types import dtype_of, shape_of

FOOTER, MAGIC = 48, (0xDB4775248B80FB57).to_bytes(8, "little")
TRAILER = 5  # a block's kind of compression and its checksum
COPIES = "_all_variables/"  # Keras 3 writes every variable a second time (measured: tests/models/makers)
# what training keeps beside the model's own variables
TRAINING = ("optimizer", "/.OPTIMIZER_SLOT/", "save_counter", "keras_api/metrics", "global_step")


def model_variables(data: memoryview) -> Iterator[tuple[str, int]]:
    """Element type and number of elements of each variable, without those of optimizers and metrics."""
    found = {name: entry for name, entry in entries(data) if name}
    twice = any(name.startswith("variables/") for name in found)
    for name, entry in found.items():
        if not any(mark in name for mark in TRAINING) and not (twice and name.startswith(COPIES)):
            dtype, size = _entry(entry)
            if dtype != "str":
                yield dtype, size


def entries(data: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Each name with its entry; raises `Damaged` for what is no such table."""
    if len(data) < FOOTER or bytes(data[-8:]) != MAGIC:
        raise Damaged("it is no table of variables, or cut off")
    footer = data[-FOOTER:]
    _, _, at = _handle(footer, 0)
    offset, size, _ = _handle(footer, at)
    pairs = (pair for _, place in _block(data, offset, size) for pair in _inner(data, place))
    yield from at_most(MAX_NAMES, "variables", pairs)


def _inner(data: memoryview, place: memoryview) -> Iterator[tuple[str, memoryview]]:
    offset, size, _ = _handle(place, 0)
    return _block(data, offset, size)


def _handle(data: memoryview, at: int) -> tuple[int, int, int]:
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return offset, size, at


def _block(data: memoryview, offset: int, size: int) -> Iterator[tuple[str, memoryview]]:
    """The pairs of one block; each name shares its beginning with the one before it."""
    if offset + size + TRAILER > len(data) or size < 4:
        raise Damaged("a block lies outside the file")
    if data[offset + size]:
        raise Damaged("a block is compressed")
    block = data[offset : offset + size]
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")
    at, name = 0, b""
    while at < end:
        shared, at = varint(block, at)
        own, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(name) or at + own + length > end or shared + own > 4096:
            raise Damaged("an entry lies outside its block")
        name = name[:shared] + bytes(block[at : at + own])
        at += own
        yield name.decode("utf-8", errors="replace"), block[at : at + length]
        at += length


def _entry(data: memoryview) -> tuple[str, int]:
    dtype, size = "", 1
    for tag, value in fields(data):
        if tag == 1:
            dtype = dtype_of(number(value))
        elif tag == 2:
            size = elements(each or 0 for each in shape_of(message(value)) or ())
    return dtype, size
