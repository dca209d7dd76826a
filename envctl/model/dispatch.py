"""A path -> the reader of what its content is. Names decide nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from envctl.errors import BadInput, Reason
from envctl.model import protobuf, sniff
from envctl.model.facts import ModelFacts
from envctl.model.limits import Damaged, mapped

AGAIN = ["download, copy or export it again; compare its size or checksum with the original's"]
HEAD = 4096


def facts_of(path: Path, *, folder: bool) -> ModelFacts:
    """The facts of a model; raises `BadInput` for what is no model, damaged or hostile."""
    kind = "saved-model"
    try:
        with protobuf.bounded():
            if folder:
                from envctl.model import saved_model

                return saved_model.read_folder(path)
            found = sniff.kind_at(path)
            kind = found.id if found else ""
            return _reader(path, found)(path)
    except Damaged as error:
        what = f"{path} is {_called(kind)} that is truncated or damaged"
        raise BadInput(what, because=[Reason(text=str(error))], do=AGAIN) from None
    except PermissionError as error:
        raise BadInput(f"cannot read {path}", because=[Reason(text=str(error))]) from error
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error


def _called(kind: str) -> str:
    return {
        "saved-model": "a SavedModel",
        "hdf5": "an HDF5 file",
        "zip": "a zip archive",
        "tflite": "a TensorFlow Lite model",
        "pickle": "a pickle",
        "openvino-ir": "an OpenVINO IR",
        "ncnn": "an ncnn model",
    }.get(kind, "a model")


def _reader(path: Path, kind: sniff.Kind | None) -> Callable[[Path], ModelFacts]:
    if kind is None:
        return _by_structure
    readers = {
        "zip": _zip, "hdf5": _hdf5, "tflite": _tflite, "pickle": _pickle, "openvino-ir": _openvino, "ncnn": _ncnn,
        "plan": _plan,
    }  # fmt: skip
    if kind.id not in readers:
        raise BadInput(f"{path} is {kind.title}", do=[kind.do])
    return readers[kind.id]


def _zip(path: Path) -> ModelFacts:
    from envctl.model.archive import read_zip

    return read_zip(path)


def _hdf5(path: Path) -> ModelFacts:
    from envctl.model import keras_h5

    return keras_h5.read(path)


def _tflite(path: Path) -> ModelFacts:
    from envctl.model import tflite

    return tflite.read(path)


def _pickle(path: Path) -> ModelFacts:
    from envctl.model import torch_legacy

    return torch_legacy.read(path)


def _openvino(path: Path) -> ModelFacts:
    from envctl.model import openvino_ir

    return openvino_ir.read(path)


def _ncnn(path: Path) -> ModelFacts:
    from envctl.model import ncnn

    return ncnn.read(path)


def _plan(path: Path) -> ModelFacts:
    from envctl.model import plan_header

    found = plan_header.read(path)
    if found.said and found.said != found.size:
        raise Damaged(f"its header says {found.said:,} bytes, and there are {found.size:,}")
    notes = "an engine's inputs and outputs are told by the TensorRT that built it only; it fits one release and GPU"
    kind = "tensorrt-rtx-plan" if found.engine == "tensorrt-rtx" else "tensorrt-plan"
    return ModelFacts(
        path=path,
        format="tensorrt-rtx-plan" if kind == "tensorrt-rtx-plan" else "tensorrt-plan",
        size=path.stat().st_size,
        producer=found.engine,
        producer_version=found.version,
        notes=(notes,),
    )


def _by_structure(path: Path) -> ModelFacts:
    """Protobuf has no mark: its top fields tell ONNX, SavedModel and GraphDef apart; text is looked at as text.

    A parser's success tells nothing: the SavedModel parser accepts a GraphDef (measured: ../shared/engines.md §2).
    """
    with mapped(path) as data:
        text = sniff.text_graph(bytes(data[:HEAD]))
        kind = "" if text else sniff.message_kind(data)
        if text or kind in ("saved-model", "graph-def"):
            return _tensorflow(path, data, text or kind, as_text=bool(text))
    if kind == "onnx":
        from envctl.model import onnx_header

        return onnx_header.read(path)
    do = ["formats are told by content: see docs/inspect.md for those that envctl reads", "is the file whole?"]
    raise BadInput(f"{path} is no model of a format that envctl reads", do=do)


def _tensorflow(path: Path, data: memoryview, kind: str, *, as_text: bool) -> ModelFacts:
    from envctl.model import saved_model, tf_graph, tf_text

    try:
        if kind == "saved-model":
            return saved_model.read(tf_text.saved_model_bytes(data) if as_text else data, path)
        return tf_graph.frozen_facts(path, tf_graph.read_graph(tf_text.graph_bytes(data) if as_text else data))
    except Damaged as error:
        title = "a SavedModel" if kind == "saved-model" else "a TensorFlow graph (GraphDef)"
        what = f"{path} is {title} that is truncated or damaged"
        raise BadInput(what, because=[Reason(text=str(error))], do=AGAIN) from None
