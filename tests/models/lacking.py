"""Models with operators that engines lack: several at once, inside branches, in forms not taken, TensorFlow's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from envctl.model.wire import bytes_field, number_field

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
value = helper.make_tensor_value_info


def several(path: Path) -> Path:
    """Det twice, MaxUnpool, and a third Det inside a branch: ONNX Runtime runs it, OpenVINO has neither."""
    then = helper.make_graph(
        [helper.make_node("Det", ["b"], ["t"], name="/gate/then/Det")], "then", [], [value("t", FLOAT, [1, 1])]
    )
    other = helper.make_graph([helper.make_node("Identity", ["d"], ["e"])], "else", [], [value("e", FLOAT, [1, 1])])
    nodes = [
        helper.make_node(
            "MaxUnpool", ["x", "i"], ["b"], name="/decoder/MaxUnpool", kernel_shape=[2, 2], strides=[2, 2]
        ),
        helper.make_node("Det", ["b"], ["d"], name="/head/Det"),
        helper.make_node("Det", ["b"], ["d2"], name="/head/Det_1"),
        helper.make_node("If", ["c"], ["g"], name="/gate/If", then_branch=then, else_branch=other),
        helper.make_node("Sum", ["d", "d2", "g"], ["y"], name="sum"),
    ]
    inputs = [value("x", FLOAT, [1, 1, 2, 2]), value("i", INT64, [1, 1, 2, 2]), value("c", BOOL, [])]
    return _write(path, nodes, inputs, [value("y", FLOAT, [1, 1])])


def formed(path: Path) -> Path:
    """A Resize whose coordinates neither OpenVINO nor TensorRT takes; ONNX has it."""
    resize = helper.make_node(
        "Resize", ["a", "roi", "scales"], ["y"], name="/up/Resize", mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize",
    )  # fmt: skip
    nodes = [helper.make_node("Relu", ["x"], ["a"], name="relu"), resize]
    stored = {"roi": [0.0] * 4 + [1.0] * 4, "scales": [1.0, 1.0, 2.0, 2.0]}
    return _write(path, nodes, [value("x", FLOAT, [1, 1, 4, 4])], [value("y", FLOAT, [1, 1, 8, 8])], stored)


def scoped(path: Path) -> Path:
    """A Det as torch's exporter of programs writes it: its module stands beside the node and not in its name."""
    node = helper.make_node("Det", ["x"], ["y"], name="n0")
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'head', 'head.norm', 'linalg_det']")
    return _write(path, [node], [value("x", FLOAT, [4, 4])], [value("y", FLOAT, [])])


def graph_def(path: Path) -> Path:
    """A frozen TensorFlow graph with Betainc twice and Lgamma, in scopes of layers."""
    nodes = [
        _node("x", "Placeholder", [], {"dtype": number_field(6, 1), "shape": bytes_field(7, _shape(1, 8))}),
        _node("model/head/beta", "Betainc", ["x", "x", "x"], {"T": number_field(6, 1)}),
        _node("model/tail/gamma", "Lgamma", ["model/head/beta"], {"T": number_field(6, 1)}),
        _node("model/tail/beta", "Betainc", ["model/tail/gamma", "x", "x"], {"T": number_field(6, 1)}),
        _node("out", "Relu", ["model/tail/beta"], {"T": number_field(6, 1)}),
    ]
    path.write_bytes(b"".join(bytes_field(1, node) for node in nodes))
    return path


def _node(name: str, op: str, inputs: list[str], attributes: dict[str, bytes]) -> bytes:
    pairs = [bytes_field(1, key.encode()) + bytes_field(2, stated) for key, stated in attributes.items()]
    parts = [bytes_field(1, name.encode()), bytes_field(2, op.encode())]
    return b"".join(
        [*parts, *(bytes_field(3, each.encode()) for each in inputs), *(bytes_field(5, it) for it in pairs)]
    )


def _shape(*sizes: int) -> bytes:
    return b"".join(bytes_field(2, number_field(1, size)) for size in sizes)


def one_node(name: str, folder: Path) -> Path:
    """A model of one node of that operator, with as many float32 inputs as it must have and every attribute that it
    must have: no engine need run it, but one that has a rule for the operator does not say that it has none."""
    schema = max((it for it in onnx.defs.get_all_schemas_with_history() if (it.domain, it.name) == ("", name)),
                 key=lambda it: it.since_version)  # fmt: skip
    inputs = [f"x{index}" for index in range(max(schema.min_input, 1 if schema.inputs else 0))]
    outputs = [f"y{index}" for index in range(max(schema.min_output, 1))]
    stated = {key: _stated(it.type.name) for key, it in schema.attributes.items() if it.required}
    node = helper.make_node(name, inputs, outputs, name=f"n_{name}", **stated)
    ends = [[value(it, FLOAT, shape) for it in side] for side, shape in ((inputs, [1, 1, 4, 4]), (outputs, None))]
    graph = helper.make_graph([node], name, *ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", max(schema.since_version, 17))])
    model.ir_version = 8
    path = folder / f"{name}.onnx"
    onnx.save(model, str(path))
    return path


def _stated(kind: str) -> object:
    body = helper.make_graph([helper.make_node("Identity", ["q"], ["w"])], "g", [], [value("w", FLOAT, None)])
    return {
        "INT": 1, "FLOAT": 1.0, "STRING": "a", "INTS": [1, 1], "FLOATS": [1.0], "STRINGS": ["a"], "GRAPH": body,
        "TENSOR": helper.make_tensor("t", FLOAT, [1], [1.0]),
    }[kind]  # fmt: skip


def _write(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    stored: dict[str, list[float]] | None = None,
) -> Path:
    weights = [numpy_helper.from_array(np.array(it, "float32"), name) for name, it in (stored or {}).items()]
    graph = helper.make_graph(nodes, "lacking", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10 if any(node.metadata_props for node in nodes) else 8
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
