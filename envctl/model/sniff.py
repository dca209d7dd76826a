"""Files that are called a model and are something else, told by their first bytes."""

from __future__ import annotations

from pathlib import Path

from envctl.errors import BadInput

_FETCH = "download the model file itself: a web page was saved in its place"
_NOT_YET = "convert it to ONNX first: this version of envctl reads ONNX"

# (bytes at the start, or at an offset), what that file is, what to do
_KNOWN: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the model", "run: git lfs pull"),
    (0, b"\x89HDF\r\n", "an HDF5 file (Keras .h5)", _NOT_YET),
    (0, b"PK\x03\x04", "a zip archive (a .keras file, a torch checkpoint or a packed model)", _NOT_YET),
    (4, b"TFL3", "a TensorFlow Lite model", _NOT_YET),
    (0, b"\x1f\x8b", "a gzip file", "unpack it first: gunzip"),
    (
        0,
        b"\x80\x02",
        "a Python pickle (a torch checkpoint?)",
        "export the model to ONNX; envctl opens no pickle",
    ),
    (
        0,
        b"\x80\x03",
        "a Python pickle (a torch checkpoint?)",
        "export the model to ONNX; envctl opens no pickle",
    ),
    (
        0,
        b"\x80\x04",
        "a Python pickle (a torch checkpoint?)",
        "export the model to ONNX; envctl opens no pickle",
    ),
    (
        0,
        b"\x80\x05",
        "a Python pickle (a torch checkpoint?)",
        "export the model to ONNX; envctl opens no pickle",
    ),
)


def refuse_impostors(path: Path) -> None:
    """Raise `BadInput` when the file is empty or known to be something else than an ONNX model."""
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise BadInput(f"{path} is empty", do=["download or export the model again"])
    if start.lstrip()[:1] == b"<":
        raise BadInput(f"{path} is an HTML or XML page, not an ONNX model", do=[_FETCH])
    for offset, mark, what, do in _KNOWN:
        if start[offset : offset + len(mark)] == mark:
            raise BadInput(f"{path} is {what}", do=[do])
