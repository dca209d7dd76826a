"""What a quantised ONNX graph has that an engine does not take, from the file alone: nodes by name, before any build.

TensorRT takes symmetric quantisation only: zero points are 0 and int8 (uint8 it makes int8, with a warning in the log),
and no int32 bias stands behind a DequantizeLinear
(measured: docs/evidence.md#tensorrt-quantised-graphs). Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from envctl.errors import NoStack, Reason
from envctl.model.protobuf import fields, message, number, text

QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
UINT8, INT32 = 2, 6
SHOWN = 5


@dataclass(kw_only=True, slots=True)
class _Node:
    op: str = ""
    name: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    stored: memoryview | None = None


@dataclass(kw_only=True, slots=True)
class _Stored:
    """A stored tensor's element type, and whether any of its values is not 0."""

    kind: int = 0
    other_than_zero: bool = False


def check(path: Path, title: str, source: str) -> None:
    """Raise `NoStack` that names the nodes which an engine of symmetric quantisation refuses."""
    found = list(asymmetric(path))
    if not found:
        return
    because = [Reason(text=line, source=f"header of {path.name}") for line in found[:SHOWN]]
    if len(found) > SHOWN:
        because.append(Reason(text=f"and {len(found) - SHOWN} more"))
    because.append(Reason(text=f"{title} takes zero points of 0 and float biases only", source=source))
    do = [
        "quantise again, symmetrically and without a quantised bias: extra_options ActivationSymmetric=True, "
        "WeightSymmetric=True, QuantizeBias=False, type QInt8",
        "or give the float32 model, and let envctl quantise it: --precision int8 --calibration FILE.npz",
    ]
    raise NoStack(f"{title} does not take the quantisation of {path.name}", because=because, do=do)


def asymmetric(path: Path) -> Iterator[str]:
    """A line for each node with a zero point that is not 0 or not int8, or that dequantises int32."""
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    nodes, stored = _graph(memoryview(mapped))
    for node in nodes:
        if node.op not in QUANTISERS:
            continue
        zero = stored.get(node.inputs[2]) if len(node.inputs) > 2 else None
        first = stored.get(node.inputs[0]) if node.inputs else None
        called = f"{node.op} {node.name or node.outputs[0]}"
        if zero and zero.other_than_zero:
            yield f"{called}: its zero point is not 0 ({node.inputs[2]})"
        elif zero and zero.kind == UINT8:
            yield f"{called}: it is uint8 ({node.inputs[2]}), which becomes int8: values over 127 are lost"
        elif node.op == "DequantizeLinear" and first and first.kind == INT32:
            yield f"{called}: it dequantises int32 ({node.inputs[0]}), a quantised bias"


def _graph(data: memoryview) -> tuple[list[_Node], dict[str, _Stored]]:
    """The nodes of the outermost graph, and its stored tensors by name."""
    nodes: list[_Node] = []
    stored: dict[str, _Stored] = {}
    graph = next((message(value) for tag, value in fields(data) if tag == 7), memoryview(b""))
    for tag, value in fields(graph):
        if tag == 1:
            nodes.append(_node(message(value)))
            if (tensor := nodes[-1].stored) is not None and nodes[-1].outputs:
                stored[nodes[-1].outputs[0]] = _tensor(tensor)[1]
        elif tag == 5:
            name, told = _tensor(message(value))
            stored[name] = told
    return nodes, stored


def _node(data: memoryview) -> _Node:
    node = _Node()
    for tag, value in fields(data):
        if tag in (1, 2):
            (node.inputs if tag == 1 else node.outputs).append(text(value))
        elif tag == 3:
            node.name = text(value)
        elif tag == 4:
            node.op = text(value)
        elif tag == 5:  # a Constant keeps its tensor in an attribute
            node.stored = next((message(part) for inner, part in fields(message(value)) if inner == 5), node.stored)
    return node


def _tensor(data: memoryview) -> tuple[str, _Stored]:
    name, told = "", _Stored()
    for tag, value in fields(data):
        if tag == 2:
            told.kind = number(value)
        elif tag == 8:
            name = text(value)
        elif tag in (5, 9):
            told.other_than_zero = told.other_than_zero or _any(value)
    return name, told


def _any(value: int | memoryview) -> bool:
    """Whether raw bytes, or packed or single numbers, hold anything but 0; looks no further than the first."""
    if isinstance(value, int):
        return value != 0
    return any(value[:4096]) or bytes(value).strip(b"\0") != b""
