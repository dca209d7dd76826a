"""ONNX models made from another by writing its bytes anew: with more outputs, with fixed input shapes, or a part of it.

The host needs no onnx package for that (envctl.model.protobuf says why), and what is not changed stays as it is, bit
for bit. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
import os
import shutil
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from envctl.model.limits import mapped
from envctl.model.onnx_graph import GRAPH, INPUT, NODE, OUTPUT, STORED, OnnxGraph, graphs
from envctl.model.onnx_header import BITS, DTYPES
from envctl.model.protobuf import fields, text
from envctl.model.wire import bytes_field, header, number_field
from envctl.tree import disk_errors

Piece: TypeAlias = "bytes | memoryview"
NUMBERS = {name: number for number, name in DTYPES.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A tensor's element type (numpy's name) and shape; None for a size, or for the whole shape, that nobody knows."""

    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def fixed(self) -> tuple[int, ...] | None:
        """The shape, where all of it is known."""
        known = tuple(size for size in self.shape or () if size is not None)
        return known if self.shape is not None and len(known) == len(self.shape) else None

    @property
    def bytes(self) -> int:
        """How much memory it takes; 0 where nobody knows."""
        return math.prod(self.fixed) * BITS.get(self.dtype, 32) // 8 if self.fixed is not None else 0


def mark(
    source: Path,
    target: Path,
    marks: Sequence[str],
    values: Mapping[str, Value],
    *,
    inputs: Mapping[str, Value] | None = None,
    external: Iterable[str] = (),
) -> Path:
    """Write the model with `marks` as further outputs, behind its own and in that order, and the shapes of `inputs`."""
    with mapped(source) as data:
        given = (pair for graph in graphs(data) for pair in fields(graph))
        body = [piece for tag, value in given for piece in _end(tag, value, inputs or {})]
        body += [bytes_field(OUTPUT, _value_info(name, values.get(name))) for name in marks]
        _write(target, data, body)
    _bring(source, target, external)
    return target


def _end(tag: int, value: int | memoryview, inputs: Mapping[str, Value]) -> list[Piece]:
    """A field of the graph as it was; an input with the shape that was given for it."""
    if tag == INPUT and inputs and not isinstance(value, int):
        name = next((text(part) for number, part in fields(value) if number == 1), "")
        if name in inputs:
            return [bytes_field(tag, _value_info(name, inputs[name]))]
    return _as_it_was(tag, value)


def _as_it_was(tag: int, value: int | memoryview) -> list[Piece]:
    return [number_field(tag, value)] if isinstance(value, int) else [header(tag, len(value)), value]


def cut(
    graph: OnnxGraph,
    target: Path,
    feeds: Mapping[str, Value],
    outputs: Mapping[str, Value],
    *,
    external: Iterable[str] = (),
) -> Path:
    """Write the part of the model that makes `outputs` from `feeds`; stored tensors that it reads come along."""
    nodes = part(graph, frozenset(feeds), tuple(outputs))
    read = {name for index in nodes for name in graph.nodes[index].inputs} - set(feeds)
    body: list[Piece] = [bytes_field(2, b"part")]
    for index in sorted(nodes):
        body += _as_it_was(NODE, graph.nodes[index].raw)
    for name in sorted(read & set(graph.stored)):
        body += _as_it_was(STORED, graph.stored[name])
    body += [bytes_field(INPUT, _value_info(name, value)) for name, value in feeds.items()]
    body += [bytes_field(OUTPUT, _value_info(name, value)) for name, value in outputs.items()]
    body += [] if read & set(graph.stored) else _something_stored()
    with mapped(graph.path) as data:
        _write(target, data, body)
    _bring(graph.path, target, external)
    return target


def _something_stored() -> list[Piece]:
    """A stored number that becomes an output: engines that write weights to a file would write an empty one."""
    name, out = bytes_field(8, b"envctl_stored"), b"envctl_stored_out"
    stored = number_field(1, 1) + number_field(2, NUMBERS["float32"]) + name + bytes_field(9, struct.pack("<f", 1.0))
    node = bytes_field(1, b"envctl_stored") + bytes_field(2, out) + bytes_field(4, b"Identity")
    told = _value_info(out.decode(), Value(dtype="float32", shape=(1,)))
    return [bytes_field(NODE, node), bytes_field(STORED, stored), bytes_field(OUTPUT, told)]


def part(graph: OnnxGraph, feeds: frozenset[str], outputs: Iterable[str]) -> set[int]:
    """The indices of the nodes between `feeds` and `outputs`."""
    makers, found, left = graph.makers(), set[int](), list(outputs)
    while left:
        name = left.pop()
        index = makers.get(name)
        if name not in feeds and index is not None and index not in found:
            found.add(index)
            left += graph.nodes[index].inputs
    return found


def _value_info(name: str, value: Value | None) -> bytes:
    """A tensor with its type where it is known: engines infer what is left out."""
    named = bytes_field(1, name.encode())
    if value is None or value.dtype not in NUMBERS:
        return named
    kind = number_field(1, NUMBERS[value.dtype])
    if value.shape is not None:
        sizes = [number_field(1, size) if size is not None else b"" for size in value.shape]
        kind += bytes_field(2, b"".join(bytes_field(1, size) for size in sizes))
    return named + bytes_field(2, bytes_field(1, kind))


def _write(target: Path, data: memoryview, body: list[Piece]) -> None:
    """The model with another graph; everything beside the graph as it was. Weights go from file to file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(target), target.open("wb") as stream:
        for tag, value in fields(data):
            if tag != GRAPH:
                stream.writelines(_as_it_was(tag, value))
        stream.write(header(GRAPH, sum(map(len, body))))
        stream.writelines(body)


def _bring(source: Path, target: Path, external: Iterable[str]) -> None:
    """Put the files that weights are kept in beside the new file: as links where the disk allows it."""
    for name in external:
        there = target.parent / name
        if there.exists():
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link((source.parent / name).resolve(), there)
        except OSError:
            shutil.copyfile(source.parent / name, there)
