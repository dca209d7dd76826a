"""Where the operators of a model are: every node by name, with what it makes, its attributes and its layer.

Graphs inside nodes and functions count too. A framework's layer is known where an exporter wrote it down (torch's
`name_scopes`), or from the node's name, which frameworks make of it: `/encoder/layers.0/Softmax`, `model/conv2d/Add`.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, tensorflow/core/framework/graph.proto
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from envctl.model.limits import MAX_DEPTH, MAX_NODES, at_most, mapped
from envctl.model.protobuf import WireError, fields, message, number, numbers, text

SHORT = 64  # characters of an attribute's value
SCOPES = "pkg.torch.onnx.name_scopes"
CALLS = ("StatefulPartitionedCall", "PartitionedCall")  # functions that were put in place of their calls
OWN = "ai.onnx"
TENSORFLOW = ("saved-model", "graph-def")


@dataclass(kw_only=True, slots=True)
class Place:
    """One node; `domain` is "" for the format's own. `attributes` have short values alone; an `inner` node stands in a
    graph inside another one, or in a function."""

    name: str = ""
    op: str = ""
    domain: str = ""
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    scopes: str = ""
    inner: bool = False

    @property
    def layer(self) -> str:
        """The framework's layer or module, "" where nothing tells it."""
        try:
            listed = [str(each) for each in ast.literal_eval(self.scopes)] if self.scopes else []
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            listed = []
        if len(listed) > 1:
            return listed[-2]  # the last one is the operation itself
        steps = [step for step in self.name.split("/")[:-1] if step and step not in CALLS]
        return "/".join(steps)


def read(path: Path, form: str) -> list[Place]:
    """The nodes of an ONNX model, a SavedModel or a frozen graph; none of other formats."""
    if form == "onnx":
        with mapped(path) as data:
            return list(at_most(MAX_NODES, "nodes", list(_onnx(data))))
    if form not in TENSORFLOW:
        return []
    with mapped(path / "saved_model.pb" if path.is_dir() else path) as data:
        return list(at_most(MAX_NODES, "nodes", list(_tensorflow(data, form))))


def _onnx(data: memoryview) -> Iterator[Place]:
    for tag, value in fields(data):
        if tag == 7:
            yield from _graph(message(value), 0)
        elif tag == 25:  # a function of the model's own
            for inner, part in fields(message(value)):
                if inner == 7:
                    yield from _node(message(part), 1)


def _graph(data: memoryview, depth: int) -> Iterator[Place]:
    if depth > MAX_DEPTH:
        raise WireError(f"graphs nested more than {MAX_DEPTH} deep")
    for tag, value in fields(data):
        if tag == 1:
            yield from _node(message(value), depth)


def _node(data: memoryview, depth: int) -> Iterator[Place]:
    place, inside = Place(inner=depth > 0), list[memoryview]()
    for tag, value in fields(data):
        if tag == 2:
            place.outputs.append(text(value))
        elif tag == 3:
            place.name = text(value)
        elif tag == 4:
            place.op = text(value)
        elif tag == 7:
            place.domain = text(value).removeprefix(OWN) if text(value) == OWN else text(value)
        elif tag == 5:
            inside += _attribute(message(value), place)
        elif tag == 9:
            pair = {inner: text(part) for inner, part in fields(message(value)) if inner in (1, 2)}
            place.scopes = pair.get(2, "") if pair.get(1) == SCOPES else place.scopes
    yield place
    for graph in inside:
        yield from _graph(graph, depth + 1)


def _attribute(data: memoryview, place: Place) -> list[memoryview]:
    """The graphs that an attribute holds; a value that is short is kept."""
    name, said, graphs = "", list[str](), list[memoryview]()
    for tag, value in fields(data):
        if tag == 1:
            name = text(value)
        elif tag == 4:
            said.append(text(value)[:SHORT])
        elif tag == 3:
            said.append(str(number(value)))
        elif tag == 8 and len(said) < SHORT:
            said += map(str, list(numbers(value)))
        elif tag in (6, 11):
            graphs.append(message(value))
    if said and len(shown := ",".join(said)) <= SHORT:
        place.attributes[name] = shown
    return graphs


def _tensorflow(data: memoryview, form: str) -> Iterator[Place]:
    """The nodes of a GraphDef; of a SavedModel those of all its graphs."""
    if form == "graph-def":
        yield from _graph_def(data)
        return
    for tag, value in fields(data):
        if tag == 2:
            for inner, part in fields(message(value)):
                if inner == 2:
                    yield from _graph_def(message(part))


def _graph_def(data: memoryview) -> Iterator[Place]:
    for tag, value in fields(data):
        if tag == 1:
            yield _node_def(message(value))
        elif tag == 2:
            yield from _functions(message(value))


def _functions(library: memoryview) -> Iterator[Place]:
    for tag, value in fields(library):
        if tag == 1:
            for inner, part in fields(message(value)):
                if inner == 3:
                    yield _node_def(message(part))


def _node_def(data: memoryview) -> Place:
    found = {tag: text(value) for tag, value in fields(data) if tag in (1, 2)}
    return Place(name=found.get(1, ""), op=found.get(2, ""))
