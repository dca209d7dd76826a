"""The nodes of an ONNX file's outermost graph, as bytes that can be written again. The file is mapped, nothing copied.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from envctl.model.limits import MAX_DEPTH, MAX_NODES, at_most, mapped
from envctl.model.protobuf import WireError, fields, message, text

GRAPH, NODE, STORED, SPARSE, INPUT, OUTPUT = 7, 1, 5, 15, 11, 12


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Node:
    """One node. `inputs` are the tensors it reads, those that its branches capture too; `raw` is its message."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metadata: dict[str, str]
    raw: memoryview

    @property
    def title(self) -> str:
        """Operator and name; of a node without a name that of its first output."""
        return f"{self.op} {self.name or self.outputs[0]}"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OnnxGraph:
    """The outermost graph: nodes in the file's order, which is topological in ONNX, and stored tensors by name."""

    path: Path
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    stored: dict[str, memoryview]

    def makers(self) -> dict[str, int]:
        """The index of the node that makes each tensor."""
        return {name: index for index, node in enumerate(self.nodes) for name in node.outputs}


@dataclass(kw_only=True, slots=True)
class _Names:
    read: list[str] = field(default_factory=list)
    made: set[str] = field(default_factory=set)


def read_graph(path: Path) -> OnnxGraph:
    """The graph of a file that was read as a model before (`envctl.model.read` refuses what is none)."""
    nodes: list[Node] = []
    ends: dict[int, list[str]] = {INPUT: [], OUTPUT: []}
    stored: dict[str, memoryview] = {}
    with mapped(path) as data:
        for tag, value in (pair for graph in graphs(data) for pair in fields(graph)):
            if tag == NODE:
                nodes.append(_node(message(value)))
            elif tag in ends:
                ends[tag].append(_name(message(value), 1))
            elif tag == STORED:
                stored[_name(message(value), 8)] = message(value)
            elif tag == SPARSE:  # its name is that of its values
                stored[_name(next(message(v) for t, v in fields(message(value)) if t == 1), 8)] = message(value)
    checked = tuple(at_most(MAX_NODES, "nodes", nodes))
    inputs = tuple(name for name in ends[INPUT] if name not in stored)
    return OnnxGraph(path=path, nodes=checked, inputs=inputs, outputs=tuple(ends[OUTPUT]), stored=stored)


def graphs(data: memoryview) -> Iterator[memoryview]:
    """The graph's message; protobuf lets it come in several parts, which are one."""
    return (message(value) for tag, value in fields(data) if tag == GRAPH)


def _name(data: memoryview, number: int) -> str:
    return next((text(value) for tag, value in fields(data) if tag == number), "")


def _node(data: memoryview) -> Node:
    found: dict[int, str] = {3: "", 4: "", 7: ""}
    inputs, outputs, metadata, captured = [], [], {}, list[str]()
    for tag, value in fields(data):
        if tag in found:
            found[tag] = text(value)
        elif tag == 1:
            inputs.append(text(value))
        elif tag == 2:
            outputs.append(text(value))
        elif tag == 5:
            captured += _captured(message(value), 1)
        elif tag == 9:
            pair = {number: text(part) for number, part in fields(message(value)) if number in (1, 2)}
            metadata[pair.get(1, "")] = pair.get(2, "")
    reads = tuple(dict.fromkeys(name for name in (*inputs, *captured) if name))
    makes = tuple(name for name in outputs if name)
    return Node(
        name=found[3], op=found[4], domain=found[7], inputs=reads, outputs=makes, metadata=metadata, raw=data
    )  # fmt: skip


def _captured(attribute: memoryview, depth: int) -> list[str]:
    """The names that the graphs of an attribute read and do not make themselves."""
    if depth > MAX_DEPTH:
        raise WireError(f"graphs nested more than {MAX_DEPTH} deep")
    found: list[str] = []
    for tag, value in fields(attribute):
        if tag in (6, 11):
            names = _Names()
            _walk(message(value), names, depth)
            found += [name for name in names.read if name not in names.made]
    return found


def _walk(graph: memoryview, names: _Names, depth: int) -> None:
    for tag, value in fields(graph):
        if tag == NODE:
            for inner, part in fields(message(value)):
                if inner == 1:
                    names.read.append(text(part))
                elif inner == 2:
                    names.made.add(text(part))
                elif inner == 5:
                    names.read += _captured(message(part), depth + 1)
        elif tag == STORED:
            names.made.add(_name(message(value), 8))
        elif tag == INPUT:
            names.made.add(_name(message(value), 1))
        elif tag == OUTPUT:  # a branch may hand an outer tensor through
            names.read.append(_name(message(value), 1))
