"""ONNX files: opset, IR version, inputs, outputs, operators and weight types, read in one walk.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from envctl.errors import BadInput, Reason
from envctl.model import ModelFacts, Tensor, WeightsAway
from envctl.model.protobuf import WireError, fields, message, number, text
from envctl.tree import sha256_of

# TensorProto.DataType -> numpy's (or ml-dtypes') name
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "str", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2",
}  # fmt: skip
MAX_GRAPH_DEPTH = 64


@dataclass(kw_only=True, slots=True)
class _Found:
    """What the walk has met so far."""

    ir: int = 0
    producer: str = ""
    graphs: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    ops: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    weights: set[str] = field(default_factory=set)
    initializers: set[str] = field(default_factory=set)
    external: set[str] = field(default_factory=set)


def read(path: Path) -> ModelFacts:
    """The header of an ONNX file; raises `BadInput` for a file that is cut off or no ONNX model."""
    found = _Found()
    with path.open("rb") as stream:
        # never closed by hand: it goes when the last view of it does
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        _walk_model(memoryview(mapped), found)
    except WireError as error:
        raise _broken(path, found, str(error)) from None
    if not (found.ir > 0 and found.opsets and min(found.opsets.values()) >= 0 and found.graphs):
        raise _broken(path, found, "it has no IR version, opset or graph")
    _check_external(path, found.external)
    return _facts(path, found)


def _facts(path: Path, found: _Found) -> ModelFacts:
    # up to IR 3 every initializer had to stand among the inputs as well
    real = tuple(tensor for tensor in found.inputs if tensor.name not in found.initializers)
    return ModelFacts(
        path=path,
        format="onnx",
        sha256=sha256_of(path),
        size=path.stat().st_size,
        ir=found.ir,
        opsets=found.opsets,
        inputs=real,
        outputs=tuple(found.outputs),
        ops=frozenset(found.ops),
        functions=frozenset(found.functions),
        weights=frozenset(found.weights),
        external=tuple(sorted(found.external)),
        producer=found.producer,
    )


def _broken(path: Path, found: _Found, why: str) -> BadInput:
    if found.ir and path.stat().st_size > 16:
        do = ["download or export it again; compare its size or checksum with the original's"]
        return BadInput(f"{path} is a truncated or damaged ONNX model", because=[Reason(text=why)], do=do)
    return BadInput(f"{path} is not an ONNX model", because=[Reason(text=why)], do=["export the model to ONNX"])


def _check_external(path: Path, names: set[str]) -> None:
    """Weights may lie beside the model only: a path that leaves the folder is an attack or a mistake."""
    for name in sorted(names):
        pure = PurePosixPath(name)
        try:
            target = (path.parent / name).resolve()
            there = target.is_file()
        except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, links in a circle
            raise WeightsAway(f"{path} keeps weights in {name[:80]!r}, which no file can be called") from error
        if pure.is_absolute() or ".." in pure.parts or not target.is_relative_to(path.parent.resolve()):
            raise WeightsAway(f"{path} keeps weights outside its folder: {name!r}", do=["move them beside the model"])
        if not there:
            raise WeightsAway(f"{path} keeps weights in {name!r}, which is missing", do=[f"put it beside {path.name}"])


def _walk_model(data: memoryview, found: _Found) -> None:
    for tag, value in fields(data):
        if tag == 1:
            found.ir = number(value)
        elif tag == 2:
            found.producer = text(value)
        elif tag == 7:
            found.graphs += 1
            _walk_graph(message(value), found, depth=0)
        elif tag == 8:
            domain, version = _opset(message(value))
            found.opsets[domain] = version
        elif tag == 25:
            _walk_function(message(value), found)


def _opset(data: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for tag, value in fields(data):
        if tag == 1:
            domain = text(value)
        elif tag == 2:
            version = number(value)
    return _domain(domain), version


def _domain(name: str) -> str:
    """The default domain has two spellings; the rest of envctl knows one."""
    return name or "ai.onnx"


def _walk_graph(data: memoryview, found: _Found, depth: int) -> None:
    if depth > MAX_GRAPH_DEPTH:
        raise WireError(f"graphs nested more than {MAX_GRAPH_DEPTH} deep")
    for tag, value in fields(data):
        if tag == 1:
            _walk_node(message(value), found, depth)
        elif tag == 5:
            name = _walk_weight(message(value), found)
            if depth == 0:  # a name inside a branch is another name
                found.initializers.add(name)
        elif tag in (11, 12) and depth == 0:
            (found.inputs if tag == 11 else found.outputs).append(_tensor(message(value)))


def _walk_node(data: memoryview, found: _Found, depth: int) -> None:
    op, domain = "", ""
    for tag, value in fields(data):
        if tag == 4:
            op = text(value)
        elif tag == 7:
            domain = text(value)
        elif tag == 5:
            _walk_attribute(message(value), found, depth)
    found.ops.add((_domain(domain), op))


def _walk_attribute(data: memoryview, found: _Found, depth: int) -> None:
    for tag, value in fields(data):
        if tag in (6, 11):
            _walk_graph(message(value), found, depth + 1)
        elif tag in (5, 10):
            _walk_weight(message(value), found)


def _walk_weight(data: memoryview, found: _Found) -> str:
    """The name of a stored tensor."""
    name = ""
    for tag, value in fields(data):
        if tag == 2:
            found.weights.add(DTYPES.get(number(value), f"type {value!r}"))
        elif tag == 8:
            name = text(value)
        elif tag == 13:
            found.external.update(_external_location(message(value)))
    return name


def _external_location(data: memoryview) -> Iterator[str]:
    pair = {tag: text(value) for tag, value in fields(data) if tag in (1, 2)}
    if pair.get(1) == "location":
        yield pair.get(2, "")


def _walk_function(data: memoryview, found: _Found) -> None:
    """A model-local function: it defines an operator, so its domain is not foreign."""
    name, domain = "", ""
    for tag, value in fields(data):
        if tag == 1:
            name = text(value)
        elif tag == 10:
            domain = text(value)
        elif tag == 7:
            _walk_node(message(value), found, 0)
    found.functions.add((_domain(domain), name))


def _tensor(data: memoryview) -> Tensor:
    name, dtype, shape = "", "", None
    for tag, value in fields(data):
        if tag == 1:
            name = text(value)
        elif tag == 2:
            dtype, shape = _type(message(value))
    return Tensor(name=name, dtype=dtype, shape=shape)


def _type(data: memoryview) -> tuple[str, tuple[int | None, ...] | None]:
    """Element type and shape of a tensor; anything else (a sequence, a map) has a name and no shape."""
    for tag, value in fields(data):
        if tag != 1:
            return {4: "sequence", 5: "map", 8: "sparse tensor", 9: "optional"}.get(tag, "unknown"), None
        dtype, shape = "", None
        for inner, part in fields(message(value)):
            if inner == 1:
                dtype = DTYPES.get(number(part), f"type {part!r}")
            elif inner == 2:
                shape = tuple(_dimension(message(dim)) for number_, dim in fields(message(part)) if number_ == 1)
        return dtype, shape
    return "unknown", None


def _dimension(data: memoryview) -> int | None:
    """A size; None where it is left open, which some exporters write as -1."""
    for tag, value in fields(data):
        if tag == 1:
            return size if (size := number(value)) >= 0 else None
    return None
