"""What --for can name, made small: ONNX models, engine files by their documented header, images as files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.models.bad import acme, external, honest, put

BUILDS = {"tensorrt": (b"ftrt", 0), "tensorrt-rtx": (b"vtrt", 2)}


def model(path: Path, opset: int = 17, ir: int = 8) -> Path:
    """A good little model that says it needs this opset and IR version."""
    made = honest()
    made.opset_import[0].version, made.ir_version = opset, ir
    return put(path, made.SerializeToString())


def classical(path: Path, version: int) -> Path:
    """A model that also imports ai.onnx.ml."""
    made = honest()
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", version))
    return put(path, made.SerializeToString())


def typed(path: Path, kind: int = TensorProto.FLOAT, weight: type[np.generic] = np.float32) -> Path:
    """x -> Add -> y of this element type, with a stored tensor of another beside it."""
    shape = [1, 4]
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in "xy"]
    stored = numpy_helper.from_array(np.zeros(4, weight), "w")
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["w"], ["unused"])]
    graph = helper.make_graph(nodes, "typed", ends[:1], ends[1:], [stored])
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return put(path, made.SerializeToString())


def open_sizes(path: Path) -> Path:
    """A model whose batch is left open."""
    made = honest()
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return put(path, made.SerializeToString())


def shapeless(path: Path) -> Path:
    """A model whose input has no shape at all."""
    made = honest()
    made.graph.input[0].type.tensor_type.ClearField("shape")
    return put(path, made.SerializeToString())


def custom(path: Path) -> Path:
    """A model with an operator of its author's."""
    return put(path, acme().SerializeToString())


def heavy(path: Path, gigabytes: int) -> Path:
    """A model that keeps so many weights beside it (nothing is written for them)."""
    external(path)
    os.truncate(path.parent / "weights.bin", gigabytes << 30)
    return path


def no_weights(path: Path) -> Path:
    """A model whose weights were not copied with it."""
    return external(path, "lost.bin")


def plan(path: Path, engine: str = "tensorrt", version: tuple[int, ...] = (8, 6, 1, 6), lost: int = 0) -> Path:
    """An engine file: tag, serialisation, length, release (envctl/model/plan_header.py), and something behind it."""
    tag, serialisation = BUILDS[engine]
    body = b"\1" * 256
    length = (28 + len(body)).to_bytes(8, "little")
    head = tag + bytes(4) + serialisation.to_bytes(8, "little") + length + bytes(version)
    return put(path, (head + body)[: 28 + len(body) - lost])


def old_plan(path: Path, serialisation: int = 232) -> Path:
    """An engine file of before 8.6, which names its serialisation only."""
    return put(path, b"ptrt" + bytes(4) + bytes([serialisation]) + bytes(200))


def noted_plan(path: Path) -> Path:
    """An engine file with the notes that Ultralytics writes before it."""
    notes = json.dumps({"description": "a model", "stride": 32}).encode()
    whole = plan(path).read_bytes()
    return put(path, len(notes).to_bytes(4, "little") + notes + whole)


def with_sidecar(path: Path, gpu: str, *, digest: str = "") -> Path:
    """The file with a sidecar as envctl writes it."""
    digest = digest or hashlib.sha256(path.read_bytes()).hexdigest()
    told = {"files": {path.name: digest}, "host": {"gpu": gpu, "driver": "535.183.01"}}
    path.with_suffix(".envctl.json").write_text(json.dumps(told))
    return path


def layer(files: dict[str, bytes]) -> bytes:
    """A layer with these files."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def oci(
    folder: Path,
    *layers: dict[str, bytes],
    env: tuple[str, ...] = (),
    architectures: tuple[str, ...] = ("amd64",),
    created: str = "2025-01-01T00:00:00Z",
    tag: str = "latest",
) -> Path:
    """An OCI layout with one image a processor; an index where there are several."""
    entries = [_image(folder, layers, env, architecture, created) for architecture in architectures]
    if len(entries) > 1:
        entries = [_blob(folder, json.dumps({"schemaVersion": 2, "manifests": entries}).encode())]
    entries[0]["annotations"] = {"org.opencontainers.image.ref.name": tag}
    put(folder / "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    put(folder / "index.json", json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
    return folder


def _image(folder: Path, layers: tuple[dict[str, bytes], ...], env: tuple[str, ...], arch: str, created: str) -> dict:
    config = {"os": "linux", "architecture": arch, "created": created, "config": {"Env": list(env)}}
    packed = [_blob(folder, gzip.compress(layer(files), mtime=0)) for files in layers]
    manifest = {"schemaVersion": 2, "config": _blob(folder, json.dumps(config).encode()), "layers": packed}
    return _blob(folder, json.dumps(manifest).encode()) | {"platform": {"os": "linux", "architecture": arch}}


def _blob(folder: Path, content: bytes) -> dict:
    digest = hashlib.sha256(content).hexdigest()
    put(folder / "blobs" / "sha256" / digest, content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def packed(folder: Path, path: Path) -> Path:
    """The layout as a tar archive."""
    with tarfile.open(path, "w") as tar:
        for part in sorted(folder.rglob("*")):
            tar.add(part, part.relative_to(folder))
    return path


def checked(path: Path) -> Path:
    """The path of a model that the onnx package takes."""
    onnx.checker.check_model(str(path))
    return path
