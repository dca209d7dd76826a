"""A TensorFlow GraphDef: its operators, its placeholders, the nodes that nothing reads, its constants.

https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/graph.proto, node_def.proto,
attr_value.proto, function.proto have the fields' numbers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from envctl.model.facts import ModelFacts, Op, Tensor
from envctl.model.layout import by_format
from envctl.model.limits import MAX_NODES, TooMuch, elements
from envctl.model.protobuf import WireError, fields, message, number, text
from envctl.model.tf_types import BYTES, Shape, dtype_of, shape_of

DOMAIN = "tensorflow"
SOURCES = {"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"}
# nodes without a consumer that are no result of the model
NO_RESULT = SOURCES | {"NoOp", "Const", "Assert", "Assign", "AssignVariableOp", "SaveV2", "MergeV2Checkpoints"}
# operators whose result has the element type that they say of their input
SAME_TYPE = {
    "Identity", "Softmax", "LogSoftmax", "Relu", "Relu6", "Sigmoid", "Tanh", "MatMul", "BiasAdd", "Add", "AddV2", "Sub",
    "Mul", "RealDiv", "Mean", "Sum", "Max", "Reshape", "Squeeze", "ExpandDims", "Transpose", "ConcatV2", "Conv2D",
    "MaxPool", "AvgPool", "Pad", "StridedSlice",
}  # fmt: skip
PYTHON_CODE = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
FILES = {"ReadFile", "WriteFile", "MatchingFiles"}
CONVOLUTIONS = {"Conv2D", "Conv3D", "DepthwiseConv2dNative", "MaxPool", "AvgPool"}
NO_WEIGHTS = {"str", "int32", "int64", "bool"}
STORED = {"Const", "VarHandleOp", "VariableV2", "Variable"}


@dataclass(kw_only=True, slots=True)
class Node:
    """One node of the main graph."""

    name: str = ""
    op: str = ""
    inputs: list[str] = field(default_factory=list)
    dtype: str = ""
    shape: Shape = None
    data_format: str = ""
    size: int | None = None  # elements of a constant


@dataclass(kw_only=True, slots=True)
class Graph:
    """What the walk has met. `stored` are variables and constants: (operator, element type, elements)."""

    ops: Counter[Op] = field(default_factory=Counter)
    nodes: dict[str, Node] = field(default_factory=dict)
    formats: set[str] = field(default_factory=set)
    functions: set[Op] = field(default_factory=set)
    stored: list[tuple[str, str, int]] = field(default_factory=list)
    producer: int = 0

    def constants(self) -> list[tuple[str, int]]:
        """Element type and elements of the constants that may be weights: no single numbers, and none of shapes."""
        found = [(dtype, size) for op, dtype, size in self.stored if op == "Const" and size > 1]
        return [(dtype, size) for dtype, size in found if dtype not in NO_WEIGHTS]

    def risks(self) -> tuple[str, ...]:
        """Operators that reach beyond the graph when it is run."""
        names = {name for _, name in self.ops}
        python = [f"{name} calls Python code of the process that runs it" for name in sorted(names & PYTHON_CODE)]
        return (*python, *(f"{name} reaches files when it is run" for name in sorted(names & FILES)))


def read_graph(data: memoryview) -> Graph:
    """A GraphDef's facts; raises `WireError` for bytes that are none."""
    graph = Graph()
    for tag, value in fields(data):
        if tag == 1:
            _add(graph, _node(message(value)))
        elif tag == 2:
            _library(message(value), graph)
        elif tag == 4:
            graph.producer = next((number(v) for t, v in fields(message(value)) if t == 1), 0)
    return graph


def _data_format(node: Node) -> str:
    """`last` or `first`; SavedModels leave out attributes that have their default, which is channels last."""
    return node.data_format or ("last" if node.op in CONVOLUTIONS else "")


def _add(graph: Graph, node: Node) -> None:
    if len(graph.nodes) >= MAX_NODES:
        raise TooMuch(f"more than {MAX_NODES:,} nodes")
    if not node.op or node.name in graph.nodes:
        raise WireError(f"node {node.name!r} has no operator, or stands there twice")
    graph.nodes[node.name] = node
    _count(graph, node)


def _count(graph: Graph, node: Node) -> None:
    graph.ops[DOMAIN, node.op] += 1
    if data_format := _data_format(node):
        graph.formats.add(data_format)
    if node.op in STORED and node.size is not None:
        graph.stored.append((node.op, node.dtype, node.size))


def _library(data: memoryview, graph: Graph) -> None:
    """The graph's functions: where all operators of a TensorFlow 2 model are."""
    for tag, value in fields(data):
        if tag == 1:
            for inner, part in fields(message(value)):
                if inner == 3:
                    _count(graph, _node(message(part)))
                elif inner == 1:
                    name = next((text(v) for t, v in fields(message(part)) if t == 1), "")
                    graph.functions.add((DOMAIN, name))


def _node(data: memoryview) -> Node:
    node = Node()
    attributes = []
    for tag, value in fields(data):
        if tag == 1:
            node.name = text(value)
        elif tag == 2:
            node.op = text(value)
        elif tag == 3:
            node.inputs.append(text(value))
        elif tag == 5:
            attributes.append(message(value))
    for attribute in attributes:
        _attribute(attribute, node)
    return node


def _attribute(data: memoryview, node: Node) -> None:
    name, value = "", None
    for tag, part in fields(data):
        if tag == 1:
            name = text(part)
        elif tag == 2:
            value = message(part)
    if value is None or name not in ("dtype", "T", "shape", "value", "data_format", "_output_shapes"):
        return
    for tag, part in fields(value):
        if (tag == 6 and name == "dtype") or (tag == 6 and name == "T" and not node.dtype):
            node.dtype = dtype_of(number(part))
        elif tag == 7 and name == "shape":
            node.shape = shape_of(message(part))
            if node.op in STORED and node.shape and None not in node.shape:
                node.size = elements(size or 0 for size in node.shape)
        elif tag == 8 and name == "value":
            node.shape, node.size = _constant(message(part))
        elif tag == 2 and name == "data_format":
            node.data_format = {"NHWC": "last", "NDHWC": "last", "NCHW": "first", "NCDHW": "first"}.get(text(part), "")


def _constant(data: memoryview) -> tuple[Shape, int]:
    shape: Shape = ()
    for tag, value in fields(data):
        if tag == 2:
            shape = shape_of(message(value))
    return shape, elements(size or 0 for size in shape or ())


def frozen_facts(path: Path, graph: Graph) -> ModelFacts:
    """The facts of a graph without signatures: its placeholders, and what nothing reads."""
    outputs = results(graph)
    inputs = [each for each in graph.nodes.values() if each.op in SOURCES]
    required = [each for each in inputs if each.op != "PlaceholderWithDefault"]
    wanted = required or inputs
    ambiguous = (*(["inputs"] if len(wanted) < len(inputs) else []), *(["outputs"] if len(outputs) > 1 else []))
    stored = graph.constants()
    notes = [f"the graph has {n} variables whose values are kept elsewhere" for n in [_variables(graph)] if n]
    return ModelFacts(
        path=path,
        format="graph-def",
        size=path.stat().st_size,
        producer="tensorflow",
        opsets={"graph-def producer": graph.producer} if graph.producer else {},
        inputs=tuple(by_format(named(each), graph.formats) for each in inputs),
        outputs=tuple(named(each) for each in outputs),
        ambiguous=ambiguous,
        op_counts=dict(graph.ops),
        functions=frozenset(graph.functions),
        weights=frozenset(dtype for dtype, _ in stored),
        parameters=sum(size for _, size in stored),
        parameter_bytes=sum(size * BYTES.get(dtype, 0) for dtype, size in stored),
        nameable=tuple(graph.nodes),
        notes=tuple(notes),
        risks=graph.risks(),
    )


def _variables(graph: Graph) -> int:
    return sum(count for (_, op), count in graph.ops.items() if op in STORED - {"Const"})


def results(graph: Graph) -> list[Node]:
    """The nodes that nothing reads and that are a result, in their order in the file."""
    read = {source_of(name) for node in graph.nodes.values() for name in node.inputs}
    return [node for name, node in graph.nodes.items() if name not in read and node.op not in NO_RESULT]


def source_of(name: str) -> str:
    """The node that an input is read from: `^x`, `x:1` and `x` are all x."""
    return name.removeprefix("^").partition(":")[0]


def named(node: Node) -> Tensor:
    """A node's first output as `name:0`."""
    shape = node.shape if node.op in SOURCES else None
    dtype = node.dtype if node.op in SOURCES or node.op in SAME_TYPE else ""
    return Tensor(name=f"{node.name}:0", dtype=dtype, shape=shape)
