"""Which element types operators read straight from inputs and stored tensors: enough to foresee a missing kernel."""

from __future__ import annotations

import mmap
from pathlib import Path

from envctl.model.onnx_header import DTYPES
from envctl.model.protobuf import fields, message, number, text

ELSEWHERE = "?"  # what a node made


def taken(path: Path) -> frozenset[tuple[str, str]]:
    """(operator of the default domain, element type) pairs of a readable ONNX file's own nodes."""
    with path.open("rb") as stream:
        data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    graph = next(message(value) for tag, value in fields(data) if tag == 7)
    types: dict[str, str] = {}
    nodes: list[tuple[str, str, list[str]]] = []
    for tag, value in fields(graph):
        if tag == 1:
            nodes.append(_node(message(value)))
        elif tag == 5:
            types.update(_stored(message(value)))
        elif tag == 11:
            types.update(_input(message(value)))
    pairs = {(op, types.get(name, ELSEWHERE)) for domain, op, names in nodes if not domain for name in names[:1]}
    return frozenset(pair for pair in pairs if pair[1] != ELSEWHERE)


def _node(data: memoryview) -> tuple[str, str, list[str]]:
    domain, op, names = "", "", []
    for tag, value in fields(data):
        if tag == 1:
            names.append(text(value))
        elif tag == 4:
            op = text(value)
        elif tag == 7:
            domain = text(value)
    return "" if domain == "ai.onnx" else domain, op, names


def _stored(data: memoryview) -> dict[str, str]:
    found = {tag: value for tag, value in fields(data) if tag in (2, 8)}
    return {text(found[8]): DTYPES.get(number(found[2]), ELSEWHERE)} if set(found) == {2, 8} else {}


def _input(data: memoryview) -> dict[str, str]:
    name, kind = "", ELSEWHERE
    for tag, value in fields(data):
        if tag == 1:
            name = text(value)
        elif tag == 2:
            for inner, part in fields(message(value)):
                numbers = [number(each) for field, each in fields(message(part)) if field == 1] if inner == 1 else []
                kind = DTYPES.get(numbers[0], ELSEWHERE) if numbers else kind
    return {name: kind}
