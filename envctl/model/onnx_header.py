"""ONNX files: opset, IR version, inputs, outputs, operators and weights, read in one walk.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from envctl.errors import BadInput, Reason
from envctl.model.beside import check_beside
from envctl.model.facts import ModelFacts, Op, Tensor
from envctl.model.limits import MAX_DEPTH, Damaged, elements, mapped
from envctl.model.protobuf import WireError, fields, message, number, numbers, text

# TensorProto.DataType -> numpy's (or ml-dtypes') name
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "str", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2",
}  # fmt: skip
BITS = {
    "float32": 32, "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "int32": 32, "int64": 64, "bool": 8, "float16": 16,
    "float64": 64, "uint32": 32, "uint64": 64, "complex64": 64, "complex128": 128, "bfloat16": 16, "uint4": 4,
    "int4": 4, "float4_e2m1fn": 4, "uint2": 2, "int2": 2,
}  # fmt: skip
EIGHT = 8  # all float8 kinds


@dataclass(kw_only=True, slots=True)
class _Found:
    """What the walk has met so far."""

    ir: int = 0
    producer: str = ""
    producer_version: str = ""
    graphs: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    ops: Counter[Op] = field(default_factory=Counter)
    functions: set[Op] = field(default_factory=set)
    weights: set[str] = field(default_factory=set)
    initializers: set[str] = field(default_factory=set)
    external: set[str] = field(default_factory=set)
    # tensor -> what reads it first, for the layout: (operator, permutation of a Transpose)
    readers: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    parameters: int = 0
    bits: int = 0


def read(path: Path) -> ModelFacts:
    """The header of an ONNX file; raises `BadInput` for a file that is cut off or no ONNX model.

    Weights that are kept elsewhere and missing are named in the facts; `BadInput` where they leave the folder.
    """
    found = _Found()
    try:
        with mapped(path) as data:
            _walk_model(data, found)
    except Damaged as error:
        raise _broken(path, found, str(error)) from None
    if not (found.ir > 0 and found.opsets and min(found.opsets.values()) >= 0 and found.graphs):
        raise _broken(path, found, "it has no IR version, opset or graph")
    return _facts(path, found)


def _facts(path: Path, found: _Found) -> ModelFacts:
    from envctl.model.layout import onnx_layout

    # up to IR 3 every initializer had to stand among the inputs as well
    real = tuple(tensor for tensor in found.inputs if tensor.name not in found.initializers)
    return ModelFacts(
        path=path,
        format="onnx",
        size=path.stat().st_size,
        ir=found.ir,
        opsets=found.opsets,
        inputs=tuple(onnx_layout(tensor, found.readers.get(tensor.name)) for tensor in real),
        outputs=tuple(found.outputs),
        op_counts=dict(found.ops),
        functions=frozenset(found.functions),
        weights=frozenset(found.weights),
        parameters=found.parameters,
        parameter_bytes=found.bits // 8,
        external=tuple(sorted(found.external)),
        missing=check_beside(path, found.external),
        producer=found.producer,
        producer_version=found.producer_version,
    )


def _broken(path: Path, found: _Found, why: str) -> BadInput:
    if found.ir and path.stat().st_size > 16:
        do = ["download or export it again; compare its size or checksum with the original's"]
        return BadInput(f"{path} is a truncated or damaged ONNX model", because=[Reason(text=why)], do=do)
    return BadInput(f"{path} is not an ONNX model", because=[Reason(text=why)], do=["export the model to ONNX"])


def _walk_model(data: memoryview, found: _Found) -> None:
    for tag, value in fields(data):
        if tag == 1:
            found.ir = number(value)
        elif tag == 2:
            found.producer = text(value)
        elif tag == 3:
            found.producer_version = text(value)
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
    if depth > MAX_DEPTH:
        raise WireError(f"graphs nested more than {MAX_DEPTH} deep")
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
    op, domain, first = "", "", None
    permutation: tuple[int, ...] = ()
    for tag, value in fields(data):
        if tag == 1 and first is None:
            first = text(value)
        elif tag == 4:
            op = text(value)
        elif tag == 7:
            domain = text(value)
        elif tag == 5:
            permutation = _walk_attribute(message(value), found, depth) or permutation
    found.ops[_domain(domain), op] += 1
    if first and depth == 0:
        found.readers.setdefault(first, (op, permutation))


def _walk_attribute(data: memoryview, found: _Found, depth: int) -> tuple[int, ...]:
    """The value of an attribute that is called `perm`; empty for all others."""
    name, whole = "", list[int]()
    for tag, value in fields(data):
        if tag == 1:
            name = text(value)
        elif tag in (6, 11):
            _walk_graph(message(value), found, depth + 1)
        elif tag in (5, 10):
            _walk_weight(message(value), found)
        elif tag == 8 and name == "perm" and len(whole) < MAX_DEPTH:
            whole += list(numbers(value))
    return tuple(whole)


def _walk_weight(data: memoryview, found: _Found) -> str:
    """The name of a stored tensor."""
    name, dtype, count = "", "", 1
    for tag, value in fields(data):
        if tag == 1:
            count *= elements(numbers(value))
        elif tag == 2:
            dtype = DTYPES.get(number(value), f"type {value!r}")
            found.weights.add(dtype)
        elif tag == 8:
            name = text(value)
        elif tag == 13:
            found.external.update(_external_location(message(value)))
    found.parameters += count
    found.bits += count * BITS.get(dtype, EIGHT if dtype.startswith("float8") else 0)
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
            _walk_node(message(value), found, 1)
    found.functions.add((_domain(domain), name))


def _tensor(data: memoryview) -> Tensor:
    name, dtype, sizes = "", "", None
    for tag, value in fields(data):
        if tag == 1:
            name = text(value)
        elif tag == 2:
            dtype, sizes = _type(message(value))
    shape = None if sizes is None else tuple(size for size, _ in sizes)
    symbols = tuple(symbol for _, symbol in sizes or ())
    return Tensor(name=name, dtype=dtype, shape=shape, symbols=symbols if any(symbols) else ())


def _type(data: memoryview) -> tuple[str, list[tuple[int | None, str]] | None]:
    """Element type and sizes of a tensor; anything else (a sequence, a map) has a name and no shape."""
    for tag, value in fields(data):
        if tag != 1:
            return {4: "sequence", 5: "map", 8: "sparse tensor", 9: "optional"}.get(tag, "unknown"), None
        dtype, sizes = "", None
        for inner, part in fields(message(value)):
            if inner == 1:
                dtype = DTYPES.get(number(part), f"type {part!r}")
            elif inner == 2:
                sizes = [_dimension(message(dim)) for number_, dim in fields(message(part)) if number_ == 1]
        return dtype, sizes
    return "unknown", None


def _dimension(data: memoryview) -> tuple[int | None, str]:
    """A size; None where it is left open, which some exporters write as -1, with its name where it has one."""
    for tag, value in fields(data):
        if tag == 1:
            return (size if (size := number(value)) >= 0 else None), ""
        if tag == 2:
            return None, text(value)
    return None, ""
