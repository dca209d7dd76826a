"""ONNX TensorProto files, as node tests keep inputs and outputs in: read without the onnx package.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envctl.model.onnx_header import DTYPES
from envctl.model.protobuf import fields, message, number, text, varint

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

# by name: whether numpy.dtype("bfloat16") works depends on who has imported ml_dtypes
NUMPY = frozenset({
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "complex64", "complex128",
})  # fmt: skip
# fields with numbers instead of bytes: how each is packed
PACKED = {4: "<f4", 10: "<f8"}
VARINTS = (5, 7, 11)
# types that travel as the whole numbers of their bits
BITS = {"float16": "uint16"}


class NotForNumpyError(ValueError):
    """A tensor of a type that numpy does not have."""


def read_tensor(data: bytes) -> tuple[str, Array]:
    """Name and values of a TensorProto; raises `NotForNumpyError` for bfloat16, float8, int4 and the like."""
    found: dict[int, Any] = {1: [], 2: 0, 6: []}
    name = ""
    for tag, value in fields(memoryview(data)):
        if tag == 1:
            found[1] += _numbers(value)
        elif tag == 2:
            found[2] = number(value)
        elif tag == 6:
            found[6].append(text(value))
        elif tag == 8:
            name = text(value)
        elif tag in (*PACKED, *VARINTS, 9):
            found[tag] = (*found.get(tag, ()), value)
    return name, _values(found, DTYPES.get(found[2], f"type {found[2]}"))


def _values(found: dict[int, Any], dtype: str) -> Array:
    import numpy as np

    shape = tuple(found[1])
    if dtype == "str":
        return np.array(found[6], dtype=str).reshape(shape)
    if dtype not in NUMPY:
        raise NotForNumpyError(f"numpy has no {dtype}")
    kind = np.dtype(dtype)
    if 9 in found:
        return np.frombuffer(bytes(found[9][0]), kind.newbyteorder("<")).reshape(shape).astype(kind)
    for tag, packed in PACKED.items():
        if tag in found:
            return _floats(found[tag], packed).astype(kind).reshape(shape)
    whole = [each for tag in VARINTS for value in found.get(tag, ()) for each in _numbers(value)]
    if dtype in BITS:
        return np.array(whole, dtype=BITS[dtype]).view(kind).reshape(shape)
    return np.array(whole).astype(kind).reshape(shape)


def _floats(values: tuple[int | memoryview, ...], packed: str) -> Array:
    """Numbers of a repeated float field: packed in one, or one a field."""
    import numpy as np

    return np.frombuffer(b"".join(bytes(message(value)) for value in values), packed)


def _numbers(value: int | memoryview) -> list[int]:
    """A repeated whole-number field: one number, or many packed."""
    if isinstance(value, int):
        return [number(value)]
    found, at = [], 0
    while at < len(value):
        each, at = varint(value, at)
        found.append(number(each))
    return found
