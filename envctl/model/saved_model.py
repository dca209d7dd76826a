"""A TensorFlow SavedModel: its signatures with the tensors behind their keys, its variables, its version.

https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/meta_graph.proto has the fields' numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from envctl.errors import BadInput, Reason
from envctl.model.facts import ModelFacts, Signature, Tensor
from envctl.model.layout import by_format
from envctl.model.limits import MAX_NAMES, Damaged, at_most, mapped, small_enough
from envctl.model.protobuf import WireError, fields, message, number, text
from envctl.model.tf_graph import Graph, read_graph
from envctl.model.tf_types import BYTES, dtype_of, shape_of

BINARY, TEXT = "saved_model.pb", "saved_model.pbtxt"
DEFAULT, INIT = "serving_default", "__saved_model_init_op"  # the second one starts tables, and is no way to call it
INDEX = "variables/variables.index"


@dataclass(kw_only=True, slots=True)
class Meta:
    """One of the graphs in the file."""

    version: str = ""
    tags: list[str] = field(default_factory=list)
    graph: Graph = field(default_factory=Graph)
    signatures: list[Signature] = field(default_factory=list)


def read_folder(folder: Path) -> ModelFacts:
    """The facts of a SavedModel directory; raises `BadInput` where it holds none."""
    for name in (BINARY, TEXT):
        path = folder / name
        if path.is_file():
            _inside(folder, path)
            return _read_file(path, folder)
    do = ["give the model file, or the folder that saved_model.pb is in"]
    raise BadInput(f"{folder} is a folder without a SavedModel in it", do=do)


def _inside(folder: Path, path: Path) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{path} is a link out of its folder", do=["copy the model with what its links lead to"])


def _read_file(path: Path, folder: Path) -> ModelFacts:
    from envctl.model.tf_text import saved_model_bytes

    with mapped(path) as data:
        return read(saved_model_bytes(data) if path.name == TEXT else data, folder)


def read(data: memoryview, path: Path) -> ModelFacts:
    """The facts of the bytes of a SavedModel that lies at `path`, its folder or its file."""
    metas = [_meta(message(value)) for tag, value in fields(data) if tag == 2]
    if not metas:
        raise WireError("it has no graph")
    serving = [meta for meta in metas if "serve" in meta.tags]
    meta = (serving or metas)[0]
    ways = tuple(each for each in meta.signatures if each.name != INIT)
    chosen = next((each for each in ways if each.name == DEFAULT), ways[0] if ways else None)
    folder = path if path.is_dir() else path.parent
    stored, problems = _stored(folder, meta.graph)
    notes = _notes(metas, meta, ways) + problems
    return ModelFacts(
        path=path,
        format="saved-model",
        size=sum(each.stat().st_size for each in _files(folder, path)),
        producer="tensorflow",
        producer_version=meta.version,
        opsets={"graph-def producer": meta.graph.producer} if meta.graph.producer else {},
        inputs=chosen.inputs if chosen else (),
        outputs=chosen.outputs if chosen else (),
        signature=chosen.name if chosen else "",
        signatures=ways,
        ambiguous=() if chosen and (len(ways) == 1 or chosen.name == DEFAULT) else ("signature",),
        op_counts=dict(meta.graph.ops),
        functions=frozenset(meta.graph.functions),
        weights=frozenset(dtype for dtype, _ in stored),
        parameters=sum(size for _, size in stored),
        parameter_bytes=sum(size * BYTES.get(dtype, 0) for dtype, size in stored),
        external=tuple(str(each.relative_to(folder)) for each in _files(folder, path) if each.parent != folder),
        missing=(INDEX,) if _has_variables(meta.graph) and not (folder / INDEX).is_file() else (),
        notes=tuple(notes),
        risks=meta.graph.risks(),
    )


def _files(folder: Path, path: Path) -> list[Path]:
    """The model's own files: of a folder all that a SavedModel has, of a lone file the file."""
    own = [path] if path != folder else [each for each in (folder / BINARY, folder / TEXT) if each.is_file()]
    inner = [each for name in ("variables", "assets", "assets.extra") for each in sorted((folder / name).glob("*"))]
    root = folder.resolve()
    return own + [each for each in inner if each.is_file() and each.resolve().is_relative_to(root)]


def _has_variables(graph: Graph) -> bool:
    return any(op in ("VarHandleOp", "VariableV2", "Variable") for op, _, _ in graph.stored)


def _notes(metas: list[Meta], meta: Meta, ways: tuple[Signature, ...]) -> list[str]:
    notes = []
    if len(metas) > 1:
        tags = "; ".join(",".join(each.tags) for each in metas)
        notes.append(f"it holds {len(metas)} graphs (tags {tags}); this is {','.join(meta.tags)}")
    if not ways:
        notes.append("it has no signature: it can be loaded by TensorFlow, and not be served or converted as it is")
    return notes


def _stored(folder: Path, graph: Graph) -> tuple[list[tuple[str, int]], list[str]]:
    """Element type and elements of each variable: from the index of the values, else from the graph."""
    from envctl.model.tf_index import model_variables

    constants = graph.constants()
    declared = [(dtype, size) for op, dtype, size in graph.stored if op != "Const"]
    index = folder / INDEX
    if not index.is_file() or not index.resolve().is_relative_to(folder.resolve()):
        return declared + constants, []
    try:
        small_enough(index.stat().st_size, "an index of variables")
        with mapped(index) as data:
            return [*model_variables(data), *constants], []
    except Damaged as error:
        return declared + constants, [f"{INDEX} cannot be read ({error}): variables are counted from the graph"]


def _meta(data: memoryview) -> Meta:
    meta, calls = Meta(), []
    for tag, value in fields(data):
        if tag == 1:
            _info(message(value), meta)
        elif tag == 2:
            meta.graph = read_graph(message(value))
        elif tag == 5:
            calls.append(message(value))
    pairs = [_signature(each) for each in at_most(MAX_NAMES, "signatures", calls)]
    meta.signatures = sorted((_with_layout(each, meta.graph) for each in pairs), key=lambda each: each.name)
    return meta


def _info(data: memoryview, meta: Meta) -> None:
    for tag, value in fields(data):
        if tag == 4:
            meta.tags.append(text(value))
        elif tag == 5:
            meta.version = text(value)


def _signature(entry: memoryview) -> Signature:
    name, inputs, outputs = "", list[Tensor](), list[Tensor]()
    for tag, value in fields(entry):
        if tag == 1:
            name = text(value)
        elif tag == 2:
            for inner, part in fields(message(value)):
                if inner in (1, 2):
                    (inputs if inner == 1 else outputs).append(_tensor(message(part)))
    order = [tuple(sorted(each, key=lambda tensor: tensor.key)) for each in (inputs, outputs)]
    return Signature(name=name, inputs=order[0], outputs=order[1])


def _with_layout(way: Signature, graph: Graph) -> Signature:
    inputs = tuple(by_format(each, graph.formats) for each in way.inputs)
    return Signature(name=way.name, inputs=inputs, outputs=way.outputs)


def _tensor(entry: memoryview) -> Tensor:
    """An entry of a signature: its key, and the TensorInfo behind it."""
    key, name, dtype, shape = "", "", "", None
    for tag, value in fields(entry):
        if tag == 1:
            key = text(value)
        elif tag == 2:
            for inner, part in _info_fields(message(value)):
                if inner == 1:
                    name = text(part)
                elif inner == 2:
                    dtype = dtype_of(number(part))
                elif inner == 3:
                    shape = shape_of(message(part))
                else:
                    name = name or "(sparse or composite)"
    return Tensor(name=name, dtype=dtype, shape=shape, key=key)


def _info_fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    return ((tag, part) for tag, part in fields(data) if tag in (1, 2, 3, 4, 5))


def broken(path: Path, why: str) -> BadInput:
    """The refusal of a file that begins as a SavedModel."""
    do = ["copy or export it again; compare its size or checksum with the original's"]
    return BadInput(f"{path} is a truncated or damaged SavedModel", because=[Reason(text=why)], do=do)
