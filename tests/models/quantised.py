"""Small quantised and otherwise awkward models, as tools leave them: `python -m tests.models.quantised FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .graph import value


def qdq(path: Path, *, zero: int = 0, kind: type = np.int8, bias: bool = False) -> Path:
    """x [1,4,8,8] -> quantised and back -> Conv; with a zero point, or with an int32 bias behind a DequantizeLinear."""
    scale, weight = np.float32(0.05), np.arange(144, dtype=np.float32).reshape(4, 4, 3, 3) / 144
    stored = {"scale": scale, "zero": np.array(zero, kind), "weight": weight}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="x_quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="x_dequantize"),
    ]
    more = []
    if bias:
        stored["bias_q"] = np.array([1, 2, 3, 4], np.int32)
        nodes.append(helper.make_node("DequantizeLinear", ["bias_q", "scale"], ["bias"], name="bias_dequantize"))
        more = ["bias"]
    nodes.append(helper.make_node("Conv", ["d", "weight", *more], ["y"], name="conv", pads=[1, 1, 1, 1]))
    return _write(path, nodes, stored, [value("x", [1, 4, 8, 8])], [value("y", [1, 4, 8, 8])])


def lacking(path: Path) -> Path:
    """x [1,4,8,8] -> Unique, and MaxPool with dilations: TensorRT's parser has neither."""
    nodes = [
        helper.make_node("Unique", ["x"], ["u"], name="uniq"),
        helper.make_node("MaxPool", ["x"], ["y"], name="pool", kernel_shape=[2, 2], dilations=[2, 2]),
    ]
    outputs = [value("y", [1, 4, 6, 6]), value("u", ["n"])]
    return _write(path, nodes, {}, [value("x", [1, 4, 8, 8])], outputs)


def double(path: Path) -> Path:
    """x float64 [1,4] -> x + x."""
    kind = TensorProto.DOUBLE
    nodes = [helper.make_node("Add", ["x", "x"], ["y"], name="add")]
    return _write(path, nodes, {}, [value("x", [1, 4], kind)], [value("y", [1, 4], kind)])


def of_opset(source: Path, path: Path, opset: int) -> Path:
    """A model with another number stamped on it."""
    model = onnx.load(str(source))
    model.opset_import[0].version = opset
    path.write_bytes(model.SerializeToString())
    return path


def _write(
    path: Path,
    nodes: list[onnx.NodeProto],
    stored: dict[str, np.ndarray],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> Path:
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


if __name__ == "__main__":
    for name in ("lacking", "double", "qdq"):
        print(globals()[name](Path(sys.argv[1]) / f"{name}.onnx"))
