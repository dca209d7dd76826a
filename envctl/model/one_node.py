"""The smallest ONNX model that engines convert and run: y = x + c, for four numbers. Written as bytes, by no framework.

https://github.com/onnx/onnx/blob/main/onnx/onnx.proto has the fields' numbers. The stored c is there because engines
that write a file for weights would write an empty one.
"""

from __future__ import annotations

import struct

from envctl.model.wire import bytes_field as _bytes
from envctl.model.wire import number_field as _number

SHAPE = (1, 4)
C = (10.0, 20.0, 30.0, 40.0)
IR_VERSION, OPSET = 7, 13  # of 2020: every engine of the matrix that reads ONNX reads these
FLOAT = 1


def one_node() -> bytes:
    """The model; its input is `x`, its output `y`, both float32 of `SHAPE`."""
    node = _text(1, "x") + _text(1, "c") + _text(2, "y") + _text(3, "add") + _text(4, "Add")
    dims = b"".join(_number(1, size) for size in SHAPE)
    stored = dims + _number(2, FLOAT) + _text(8, "c") + _bytes(9, struct.pack("<4f", *C))
    graph = _bytes(1, node) + _text(2, "one") + _bytes(5, stored) + _bytes(11, _value("x")) + _bytes(12, _value("y"))
    return _number(1, IR_VERSION) + _text(2, "envctl") + _bytes(7, graph) + _bytes(8, _text(1, "") + _number(2, OPSET))


def _value(name: str) -> bytes:
    shape = b"".join(_bytes(1, _number(1, size)) for size in SHAPE)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, FLOAT) + _bytes(2, shape)))


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())
