"""OpenVINO's IR: parameters, results, operators by opset, weights in the .bin beside it, the release that wrote it.

https://docs.openvino.ai/2026/documentation/openvino-ir-format.html; read as a stream, entities refused.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from envctl.model.beside import check_beside
from envctl.model.facts import CUSTOM, ModelFacts, Op, Tensor
from envctl.model.layout import FIRST, LAST, by_sizes, rank, told
from envctl.model.limits import MAX_DEPTH, MAX_NAMES, Damaged, TooMuch, elements, small_enough

MAX_XML = 256 << 20
DTYPES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "i64": "int64", "i32": "int32",
    "i16": "int16", "i8": "int8", "i4": "int4", "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8",
    "u4": "uint4", "boolean": "bool", "bool": "bool", "string": "str", "fp32": "float32", "fp16": "float16",
    "fp64": "float64", "u1": "uint1", "nf4": "nf4", "f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2",
}  # fmt: skip
INPUTS = ("Parameter", "Input")


@dataclass(slots=True)
class _Port:
    names: str = ""
    dtype: str = ""
    sizes: list[int | None] = field(default_factory=list)


@dataclass(slots=True)
class _Layer:
    name: str
    kind: str
    outputs: dict[str, _Port] = field(default_factory=dict)
    layout: str = ""


@dataclass(slots=True)
class _Found:
    """What the stream has told. Only the net's own layers are kept, of those in bodies the operators."""

    version: int = 0
    layers: dict[str, _Layer] = field(default_factory=dict)
    edges: dict[str, tuple[str, str]] = field(default_factory=dict)
    ops: Counter[Op] = field(default_factory=Counter)
    weights: set[str] = field(default_factory=set)
    parameters: int = 0
    bytes: int = 0
    producer: str = ""
    stack: list[str] = field(default_factory=list)
    layer: _Layer | None = None
    port: _Port | None = None
    text: str = ""


def read(path: Path) -> ModelFacts:
    """The facts of an IR; raises `Damaged` for one that is cut off or no IR."""
    found = _Found()
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, given: _start(found, tag, given)
    parser.EndElementHandler = lambda tag: _end(found, tag)
    parser.CharacterDataHandler = lambda text: _text(found, text)
    parser.EntityDeclHandler = _refuse
    parser.StartDoctypeDeclHandler = _refuse
    try:
        with path.open("rb") as stream:
            small_enough(path.stat().st_size, "XML", MAX_XML)
            parser.ParseFile(stream)
    except (expat.ExpatError, ValueError) as error:
        raise error if isinstance(error, Damaged) else Damaged(f"its XML is cut off or damaged: {error}") from None
    if not found.version or not found.layers:
        raise Damaged("it has no net with layers")
    return _facts(path, found)


def _refuse(*_: Any) -> None:
    raise Damaged("it declares a document type or entities, which no IR does")


def _start(found: _Found, tag: str, given: dict[str, str]) -> None:
    found.stack.append(tag)
    if len(found.stack) > MAX_DEPTH:
        raise TooMuch(f"elements nested more than {MAX_DEPTH} deep")
    if tag == "net" and len(found.stack) == 1:
        found.version = _int(given.get("version", ""))
    elif tag == "layer":
        _layer(found, given)
    elif tag == "data" and found.layer:
        _data(found, found.layer, given)
    elif tag == "port" and found.layer and found.stack[-2] == "output":
        found.port = _Port(names=given.get("names", ""), dtype=_dtype(given.get("precision", "")))
        found.layer.outputs[given.get("id", "")] = found.port
    elif tag == "edge" and "body" not in found.stack:
        found.edges[given.get("to-layer", "")] = (given.get("from-layer", ""), given.get("from-port", ""))
    elif tag == "Runtime_version" or (tag == "attribute" and given.get("name") == "layout"):
        _note(found, tag, given)
    found.text = ""


def _layer(found: _Found, given: dict[str, str]) -> None:
    kind, opset = given.get("type", ""), given.get("version", "")
    domain = opset if re.fullmatch(r"opset\d+", opset) or not opset else CUSTOM
    found.ops[domain or "ir", kind] += 1
    found.layer = _Layer(given.get("name", ""), kind)
    if "body" not in found.stack:
        if len(found.layers) >= MAX_NAMES:
            raise TooMuch(f"more than {MAX_NAMES:,} layers")
        found.layers[given.get("id", "")] = found.layer


def _data(found: _Found, layer: _Layer, given: dict[str, str]) -> None:
    if layer.kind in ("Const", "Constant"):
        dtype = _dtype(given.get("element_type", ""))
        found.weights.add(dtype)
        found.parameters += elements(_int(size) for size in given.get("shape", "").split(",") if size.strip())
        found.bytes += _int(given.get("size", ""))
    elif layer.kind in INPUTS:
        layer.layout = given.get("layout", "")


def _note(found: _Found, tag: str, given: dict[str, str]) -> None:
    if tag == "Runtime_version":
        found.producer = given.get("value", "")[:80]
    elif found.layer:
        found.layer.layout = given.get("layout", "") or found.layer.layout


def _end(found: _Found, tag: str) -> None:
    found.stack.pop()
    if tag == "dim" and found.port is not None:
        if len(found.port.sizes) >= MAX_DEPTH:
            raise TooMuch("too many sizes in a shape")
        size = _int(found.text, -1)
        found.port.sizes.append(size if size >= 0 else None)
    elif tag == "port":
        found.port = None
    elif tag == "layer":
        found.layer = None


def _text(found: _Found, text: str) -> None:
    if found.port is not None and len(found.text) < 64:
        found.text += text


def _int(said: str, default: int = 0) -> int:
    said = said.strip()
    return int(said) if re.fullmatch(r"-?\d{1,18}", said) else default


def _dtype(said: str) -> str:
    return DTYPES.get(said.lower(), said.lower()[:20])


def _facts(path: Path, found: _Found) -> ModelFacts:
    inputs = [_with_layout(_input(layer), layer) for layer in found.layers.values() if layer.kind in INPUTS]
    outputs = [_output(found, key, layer) for key, layer in found.layers.items() if layer.kind == "Result"]
    names = {path.with_suffix(".bin").name} if found.bytes else set()
    opsets = [int(domain[5:]) for domain, _ in found.ops if domain.startswith("opset")]
    return ModelFacts(
        path=path,
        format="openvino-ir",
        size=path.stat().st_size,
        producer="openvino",
        producer_version=found.producer,
        ir=found.version,
        opsets={"opset": max(opsets)} if opsets else {},
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        op_counts=dict(found.ops),
        weights=frozenset(found.weights),
        parameters=found.parameters,
        parameter_bytes=found.bytes,
        external=tuple(names),
        missing=check_beside(path, names),
        notes=tuple(_notes(path, names, found.bytes)),
    )


def _notes(path: Path, names: set[str], wanted: int) -> list[str]:
    """Weights that were cut off."""
    for name in names:
        there = path.parent / name
        if there.is_file() and there.stat().st_size < wanted // 2:  # constants may share their place
            return [f"{name} has {there.stat().st_size:,} bytes, its constants are {wanted:,}"]
    return []


def _input(layer: _Layer) -> Tensor:
    port = next(iter(layer.outputs.values()), _Port())
    return _tensor(port, layer.name)


def _output(found: _Found, key: str, layer: _Layer) -> Tensor:
    """A result is called as the tensor that it takes."""
    source, port = found.edges.get(key, ("", ""))
    before = found.layers.get(source)
    return _tensor(before.outputs.get(port, _Port()) if before else _Port(), before.name if before else layer.name)


def _tensor(port: _Port, name: str) -> Tensor:
    first = re.split(r"(?<!\\),", port.names)[0].replace("\\,", ",")
    return Tensor(name=first or name, dtype=port.dtype, shape=tuple(port.sizes))


def _with_layout(tensor: Tensor, layer: _Layer) -> Tensor:
    said = re.sub(r"[\[\],\s]", "", layer.layout).upper()
    for names in (FIRST, LAST):
        if said and names.get(rank(tensor)) == said:
            return told(tensor, names, "the IR says so")
    return by_sizes(tensor)
