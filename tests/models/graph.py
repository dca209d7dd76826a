"""A writer for small seeded ONNX graphs, and seeded inputs for any model that it wrote."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Shapes = Mapping[str, Sequence[int | str]]
Float = type[np.floating[Any]]
VOCABULARY = 100  # token inputs of the zoo are int64 in 0..99


def save(model: onnx.ModelProto, path: Path) -> Path:
    """The path, after the model was checked (shapes too) and written there."""
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


def value(name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """An input's or output's name, type and shape; a str size is dynamic."""
    return helper.make_tensor_value_info(name, kind, list(shape))


class Graph:
    """An ONNX graph in the making. Methods return the name of the value they add; the name is the seed."""

    def __init__(self, name: str, opset: int = 17, dtype: Float = np.float32, seed: int = 0) -> None:
        self.name, self.opset, self.dtype = name, opset, dtype
        self.random = np.random.default_rng(zlib.crc32(name.encode()) + seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """The one output of a new node; `out` names it, else it is called after the operator."""
        return self.ops(kind, *inputs, outs=[out or f"{kind.lower()}_{len(self.nodes)}"], **attributes)[0]

    def ops(self, kind: str, *inputs: str, outs: Sequence[str], **attributes: Any) -> Sequence[str]:
        """The outputs of a new node, as named by `outs` ("" leaves one out)."""
        label = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), list(outs), name=label, **attributes))
        return outs

    def keep(self, value: Array | Sequence[int] | float, name: str = "") -> str:
        """A stored tensor: integers become int64, numbers with a point the float type of this graph."""
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else self.dtype)
        name = name or f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def random_weight(self, shape: Sequence[int], scale: float, name: str = "") -> str:
        """A stored tensor of normal numbers with standard deviation `scale`."""
        return self.keep(self.random.standard_normal(shape) * scale, name or f"weight_{len(self.weights)}")

    def conv(self, x: str, fan: tuple[int, int], kernel: int = 3, **attributes: Any) -> str:
        """A Conv [N,in,H,W] -> [N,out,H',W'] with bias; fan = (in, out); no padding by default."""
        weight_in = fan[0] // attributes.get("group", 1)
        scale = (2.0 / (weight_in * kernel * kernel)) ** 0.5
        weight = self.random_weight((fan[1], weight_in, kernel, kernel), scale)
        return self.op("Conv", x, weight, self.random_weight((fan[1],), 0.2), **attributes)

    def dense(self, x: str, fan: tuple[int, int], gain: float = 1.4, out: str = "") -> str:
        """A Gemm [N,in] -> [N,out] with bias; inputs of deviation 1 give outputs of about `gain`."""
        weight = self.random_weight(fan, gain * fan[0] ** -0.5)
        return self.op("Gemm", x, weight, self.random_weight((fan[1],), 0.1 * gain), out=out)

    def model(self, inputs: Shapes, outputs: Shapes, tokens: Sequence[str] = ()) -> onnx.ModelProto:
        """The finished model: float32 but for the inputs in `tokens` (int64), the lowest IR of its opset."""
        kinds = {k: TensorProto.INT64 if k in tokens else TensorProto.FLOAT for k in inputs}
        ins = [value(k, s, kinds[k]) for k, s in inputs.items()]
        outs = [value(k, s) for k, s in outputs.items()]
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            helper.make_graph(self.nodes, self.name, ins, outs, self.weights),
            opset_imports=imports,
            ir_version=helper.find_min_ir_version_for(imports),
            producer_name="envctl-tests",
        )


def feeds(path: Path, seed: int = 0, batch: int = 2) -> dict[str, Array]:
    """Seeded inputs by name: standard normal float32, or tokens int64 in 0..99; `batch` for unknown sizes."""
    random = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    for end in onnx.load(str(path), load_external_data=False).graph.input:
        shape = [d.dim_value or batch for d in end.type.tensor_type.shape.dim]
        if end.type.tensor_type.elem_type == TensorProto.INT64:
            made[end.name] = random.integers(0, VOCABULARY, shape)
        else:
            made[end.name] = random.standard_normal(shape, dtype=np.float32)
    return made


def flow(path: Path, inputs: Mapping[str, Array]) -> list[Array]:
    """The outputs of onnxruntime on the CPU, in the model's order."""
    import onnxruntime  # type: ignore[import-untyped,unused-ignore]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [np.asarray(array) for array in session.run(None, dict(inputs))]
