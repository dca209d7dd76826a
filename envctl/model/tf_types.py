"""TensorFlow's element types and shapes.

https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/types.proto, tensor_shape.proto
"""

from __future__ import annotations

from envctl.model.limits import MAX_DEPTH, at_most
from envctl.model.protobuf import fields, message, number

DTYPES = {
    0: "", 1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "str", 8: "complex64",
    9: "int64", 10: "bool", 11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 15: "qint16", 16: "quint16",
    17: "uint16", 18: "complex128", 19: "float16", 20: "resource", 21: "variant", 22: "uint32", 23: "uint64",
    24: "float8_e5m2", 25: "float8_e4m3fn", 26: "float8_e4m3fnuz", 27: "float8_e4m3b11fnuz", 28: "float8_e5m2fnuz",
    29: "int4", 30: "uint4", 31: "int2", 32: "uint2",
}  # fmt: skip
BYTES = {
    "float32": 4, "float64": 8, "int32": 4, "uint8": 1, "int16": 2, "int8": 1, "complex64": 8, "int64": 8, "bool": 1,
    "bfloat16": 2, "uint16": 2, "complex128": 16, "float16": 2, "uint32": 4, "uint64": 8,
}  # fmt: skip
REFERENCE = 100  # what TensorFlow 1 adds for a variable's reference
Shape = tuple[int | None, ...] | None


def dtype_of(code: int) -> str:
    """numpy's name of an element type."""
    code = code - REFERENCE if code > REFERENCE else code
    return DTYPES.get(code, f"type {code}")


def shape_of(data: memoryview) -> Shape:
    """A TensorShapeProto: None for a size left open, None for an unknown rank."""
    sizes: list[int | None] = []
    for tag, value in fields(data):
        if tag == 3 and number(value):
            return None
        if tag == 2:
            sizes.append(_size(message(value)))
    return tuple(at_most(MAX_DEPTH, "sizes in a shape", sizes))


def _size(data: memoryview) -> int | None:
    found = 0
    for tag, value in fields(data):
        if tag == 1:
            found = number(value)
    return found if found >= 0 else None
