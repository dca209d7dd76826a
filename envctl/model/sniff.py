"""What a file really is, told by its first bytes: models of other engines, and files that are called a model only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from envctl.errors import BadInput
from envctl.model.protobuf import WireError, fields, varint

_FETCH = "download the model file itself: a web page was saved in its place"
_NOT_YET = "convert it to ONNX first: this version of envctl reads ONNX"
_PICKLE = "export the model to ONNX; envctl opens no pickle"
_PLAN = "give the ONNX model that it was built from; an engine file is a result, and fits one TensorRT and GPU"
START = 512
ZEROS = "zeros"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of file: what it is in words, what to do with it, and which engines of the matrix load it (none: it is no
    model at all)."""

    id: str
    title: str
    do: str
    engines: tuple[str, ...] = ()


ONNX = Kind(id="onnx", title="an ONNX model", do="")
SAVED_MODEL = Kind(id="saved-model", title="a TensorFlow SavedModel", do=_NOT_YET, engines=("tensorflow", "openvino"))
_TENSORRT = Kind(id="plan", title="a TensorRT engine (plan)", do=_PLAN, engines=("tensorrt",))
_RTX = Kind(id="plan", title="a TensorRT for RTX engine (plan)", do=_PLAN, engines=("tensorrt-rtx",))
_PICKLED = Kind(id="pickle", title="a Python pickle (a torch checkpoint?)", do=_PICKLE)
_PAGE = Kind(id="page", title="an HTML or XML page, not an ONNX model", do=_FETCH)
_IR = Kind(id="openvino-ir", title="an OpenVINO IR (XML)", do=_NOT_YET, engines=("openvino",))
_NCNN = Kind(id="ncnn", title="an ncnn model (param)", do=_NOT_YET, engines=("ncnn",))
_ARCHIVE = "a zip archive (a .keras file, a torch checkpoint or a packed model)"

# (offset, bytes there, kind). Tags of engine files: docs/doctor.md#for
_KNOWN: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"version https://git-lfs", Kind(id="lfs", title="a Git LFS pointer, not the model", do="run: git lfs pull")),
    (0, b"\x89HDF\r\n", Kind(id="hdf5", title="an HDF5 file (Keras .h5)", do=_NOT_YET, engines=("tensorflow",))),
    (0, b"PK\x03\x04", Kind(id="zip", title=_ARCHIVE, do=_NOT_YET)),
    (
        4,
        b"TFL3",
        Kind(
            id="tflite",
            title="a TensorFlow Lite model",
            do=_NOT_YET,
            engines=("litert", "tflite-runtime", "tensorflow"),
        ),
    ),
    (0, b"\x1f\x8b", Kind(id="gzip", title="a gzip file", do="unpack it first: gunzip")),
    *((0, bytes((0x80, protocol)), _PICKLED) for protocol in (2, 3, 4, 5)),
    (0, b"ftrt", _TENSORRT),
    (0, b"ptrt", _TENSORRT),
    (0, b"vtrt", _RTX),
    (0, b"7767517\n", _NCNN),
    (0, b"7767517\r\n", _NCNN),
    (0, (7767517).to_bytes(4, "little"), _NCNN),
)


def kind_of(start: bytes) -> Kind | None:
    """What a file with this beginning is, None where nothing gives it away (ONNX has no mark of its own)."""
    text = start.lstrip()
    if text[:1] == b"<":
        return _IR if b"<net " in start else _PAGE
    if len(start) >= 64 and not any(start):
        return Kind(id=ZEROS, title="nothing but zeros at its beginning", do="copy or build it again: it is damaged")
    if start[4:5] == b"{" and 0 < int.from_bytes(start[:4], "little") < 1 << 20:
        return _TENSORRT  # Ultralytics writes its notes before the engine: their length, JSON, then the plan
    return next((kind for offset, mark, kind in _KNOWN if start[offset : offset + len(mark)] == mark), None)


def kind_at(path: Path) -> Kind | None:
    """The kind of a file or folder; raises `BadInput` for one that is empty or cannot be read."""
    if path.is_dir():
        return SAVED_MODEL if (path / "saved_model.pb").is_file() else None
    try:
        with path.open("rb") as stream:
            start = stream.read(START)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise BadInput(f"{path} is empty", do=["download or export the model again"])
    return kind_of(start)


def refuse_impostors(path: Path) -> None:
    """Raise `BadInput` when the file is empty or known to be something else than an ONNX model."""
    kind = kind_at(path)
    if kind:
        raise BadInput(f"{path} is {kind.title}", do=[kind.do])


_TEXT = re.compile(rb"^(?:\s|#[^\n]*\n)*(node|library|versions|saved_model_schema_version|meta_graphs)\s*[:{]")


def text_graph(start: bytes) -> str:
    """`graph-def` or `saved-model` where the beginning is that of TensorFlow's graph as text, "" where it is not."""
    found = _TEXT.match(start)
    if not found:
        return ""
    return "saved-model" if found[1] in (b"saved_model_schema_version", b"meta_graphs") else "graph-def"


def message_kind(data: memoryview) -> str:
    """`onnx`, `saved-model` or `graph-def` by a protobuf message's top fields; "" where they tell nothing.

    A file that is cut off is judged by the fields before that.
    """
    shapes: dict[int, type] = {}
    node = None
    try:
        for tag, value in fields(data):
            shapes.setdefault(tag, type(value))
            if tag == 1 and node is None and not isinstance(value, int):
                node = value
    except WireError:
        if set(shapes) == {1} and shapes[1] is int:
            return "saved-model" if _long_second(data) else "onnx"
        if shapes and shapes.get(1) is int:
            return "onnx"
        node = node if node is not None else _first_part(data)
    if shapes.get(1) is int:
        if 7 in shapes or 8 in shapes:
            return "onnx"
        return "saved-model" if shapes.get(2) is memoryview and _is_meta(data) else ""
    return "graph-def" if node is not None and _is_node(node) else ""


def _first_part(data: memoryview) -> memoryview | None:
    """The content of a first field that goes on beyond the end."""
    return data[2:] if len(data) > 2 and data[0] == 0x0A else None


def _long_second(data: memoryview) -> bool:
    """Whether field 2, which is cut off, is longer than the producer's name of an ONNX model ever is."""
    _, at = varint(data, 1)
    return len(data) > at + 1 and data[at] == 0x12 and varint(data, at + 1)[0] > 1024


def _is_node(data: memoryview) -> bool:
    """Whether it begins as a NodeDef does: a name, then an operator."""
    found = []
    try:
        for tag, value in fields(data):
            found.append((tag, type(value)))
            if len(found) == 2:
                break
    except WireError:
        return False
    return found == [(1, memoryview), (2, memoryview)]


def _is_meta(data: memoryview) -> bool:
    """Whether field 2 is a MetaGraphDef, whose first fields are messages; in ONNX it is the producer's name."""
    for tag, value in fields(data):
        if tag == 2 and isinstance(value, memoryview):
            try:
                return any(inner in (1, 2) and isinstance(part, memoryview) for inner, part in fields(value))
            except WireError:
                return False
    return False
