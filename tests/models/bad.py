"""Bad inputs: `python -m tests.models.bad FOLDER`. A tool must refuse or name each, quickly and in words."""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from .graph import Graph, save

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 14005248\n"
HTML = "<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>Not Found</body></html>\n"


def honest() -> ModelProto:
    """A good little model to spoil: "x" [1,16] -> Gemm -> Relu -> Gemm -> "y" [1,4]."""
    g = Graph("honest")
    g.dense(g.op("Relu", g.dense("x", (16, 32))), (32, 4), out="y")
    return g.model({"x": [1, 16]}, {"y": [1, 4]})


def put(path: Path, content: bytes) -> Path:
    """The path, after the content was written there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def truncated(path: Path) -> Path:
    """A download that stopped: the first 60 % of a model."""
    whole = honest().SerializeToString()
    return put(path, whole[: len(whole) * 6 // 10])


def html(path: Path) -> Path:
    """A server's error page under a model's name."""
    return put(path, HTML.encode())


def lfs_pointer(path: Path) -> Path:
    """A Git-LFS pointer: the repository was cloned without its large files."""
    return put(path, LFS.format(digest="4d7a" * 16).encode())


def empty(path: Path) -> Path:
    """No bytes."""
    return put(path, b"")


def random_bytes(path: Path) -> Path:
    """4096 seeded random bytes."""
    return put(path, np.random.default_rng(0).bytes(4096))


def opset_too_high(path: Path) -> Path:
    """A model that says it needs opset 99."""
    model = honest()
    model.opset_import[0].version = 99
    return put(path, model.SerializeToString())


def ir_too_high(path: Path) -> Path:
    """A model that says it is written in IR 99."""
    model = honest()
    model.ir_version = 99
    return put(path, model.SerializeToString())


def custom_op(path: Path) -> Path:
    """A valid model with an operator that only its author has: com.acme:MyOp."""
    return save(acme(), path)


def local_function(path: Path) -> Path:
    """The same model with its operator defined inside as an ONNX function (x sigmoid(x)): valid, it runs."""
    model = acme()
    body = [helper.make_node("Sigmoid", ["a"], ["s"]), helper.make_node("Mul", ["a", "s"], ["b"])]
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("com.acme", "MyOp", ["a"], ["b"], body, imports))
    return save(model, path)


def acme() -> ModelProto:
    """From "x" [1,16] -> Gemm -> com.acme:MyOp -> "y" [1,4]."""
    g = Graph("acme")
    g.op("MyOp", g.dense("x", (16, 4)), out="y", domain="com.acme")
    model = g.model({"x": [1, 16]}, {"y": [1, 4]})
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    return model


def constant_output(path: Path) -> Path:
    """A valid model whose answer is 0.1 ten times for any "x" [1,64]: its weights are ConstantOfShape."""
    g = Graph("constant_output")
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.02])
    logits = g.op("MatMul", "x", g.op("ConstantOfShape", g.keep([64, 10]), value=value))
    g.op("Softmax", logits, out="y", axis=1)
    return save(g.model({"x": [1, 64]}, {"y": [1, 10]}), path)


def all_nan(path: Path) -> Path:
    """A valid model that gives only NaN: the logarithm of -1 - |x|, "x" [1,16]."""
    g = Graph("all_nan")
    g.op("Log", g.op("Sub", g.keep(-1.0), g.op("Abs", "x")), out="y")
    return save(g.model({"x": [1, 16]}, {"y": [1, 16]}), path)


def external(path: Path, location: str = "weights.bin") -> Path:
    """A valid model with its weights in weights.bin beside it (written only for that location)."""
    model, content = honest(), b""
    for stored in model.graph.initializer:
        raw = numpy_helper.to_array(stored).tobytes()
        place = {"location": location, "offset": str(len(content)), "length": str(len(raw))}
        stored.ClearField("raw_data")
        stored.data_location = TensorProto.EXTERNAL
        for key, text in place.items():
            stored.external_data.add(key=key, value=text)
        content += raw
    if location == "weights.bin":
        put(path.parent / location, content)
    return put(path, model.SerializeToString())


def external_missing(path: Path) -> Path:
    """A model copied without its weights: lost.bin is not there."""
    return external(path, "lost.bin")


def external_escaping(path: Path) -> Path:
    """A model that reads its weights from outside its folder."""
    return external(path, "../../etc/passwd")


def external_absolute(path: Path) -> Path:
    """A model that reads its weights from an absolute path."""
    return external(path, "/etc/passwd")


def pickled(path: Path) -> Path:
    """A Python pickle under a model's name; it must never be loaded, though this one does no harm."""
    return put(path, pickle.dumps({"state_dict": {"fc.weight": [0.5] * 64}}, protocol=4))


def zipped(path: Path) -> Path:
    """A zip archive, as torch.save and Keras write, under a model's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("model/version"), "3\n")
        archive.writestr(zipfile.ZipInfo("model/data/0"), b"\0" * 512)
    return path


def varint(number: int) -> bytes:
    """The number as protobuf writes it."""
    head, rest = number & 0x7F, number >> 7
    return bytes([head | 0x80]) + varint(rest) if rest else bytes([head])


def field(number: int, content: bytes) -> bytes:
    """A protobuf field that holds a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def huge_claim(path: Path) -> Path:
    """1 KB that says its graph (field 7) is 2 GB long."""
    head = b"\x08\x08" + varint(7 << 3 | 2) + varint(2**31 - 1)
    return put(path, head + b"\0" * (1024 - len(head)))


def deep(path: Path) -> Path:
    """A graph in an attribute of a node of a graph, 500 times over: deeper than protobuf reads."""
    inner = field(2, b"inmost")
    for _ in range(500):
        inner = field(1, field(5, field(1, b"body") + field(6, inner)))
    return put(path, b"\x08\x08" + field(7, inner))


MAKERS: list[Callable[[Path], Path]] = [
    truncated, html, lfs_pointer, empty, random_bytes, opset_too_high, ir_too_high, custom_op, local_function,
    constant_output, all_nan, external, external_missing, external_escaping, external_absolute, pickled,
    zipped, huge_claim, deep,
]  # fmt: skip
# what onnx 1.22 checks without complaint, the unknown opset too: only an engine or our own rules refuse these
ACCEPTED = ("opset_too_high", "custom_op", "local_function", "constant_output", "all_nan", "external")


def make(name: str, folder: str | Path) -> Path:
    """The path of one bad input, folder/name/model.onnx; StopIteration for an unknown name."""
    maker = next(maker for maker in MAKERS if maker.__name__ == name)
    return maker(Path(folder) / name / "model.onnx")


def make_all(folder: str | Path) -> dict[str, Path]:
    """The paths of all bad inputs by name, each model.onnx in a folder of its own."""
    return {maker.__name__: make(maker.__name__, folder) for maker in MAKERS}


if __name__ == "__main__":
    print(*make_all(sys.argv[1]).values(), sep="\n")
