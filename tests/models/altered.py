"""Faulty copies of a model: `python -m tests.models.altered MODEL.onnx FOLDER`.

Each copy is a valid model with the same inputs and outputs, and one mistake that converters and people make.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .graph import Array, save

Change = Callable[[GraphProto], bool]  # alters the graph in place; False when the graph has nothing to alter


def tensor(graph: GraphProto, name: str) -> TensorProto | None:
    """The stored tensor of that name."""
    return next((t for t in graph.initializer if t.name == name), None)


def rewrite(graph: GraphProto, name: str, change: Callable[[Array], Array]) -> bool:
    """True after the stored tensor was replaced by change(it), same type; False when nothing changes."""
    stored = tensor(graph, name)
    if stored is None:
        return False
    old = numpy_helper.to_array(stored)
    new = np.ascontiguousarray(change(old).astype(old.dtype))
    stored.CopyFrom(numpy_helper.from_array(new, name))
    return not np.array_equal(old, new)


def nodes(graph: GraphProto, *kinds: str) -> Iterator[NodeProto]:
    """The nodes of these operators, in order."""
    return (node for node in graph.node if node.op_type in kinds)


def weights(graph: GraphProto) -> list[str]:
    """The names of the stored float tensors with two axes or more and two numbers or more."""
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    stored = [t for t in graph.initializer if t.data_type in floats]
    return [t.name for t in stored if len(t.dims) > 1 and np.prod(t.dims) > 1]


def biases(graph: GraphProto) -> list[str]:
    """The names of the stored biases of convolutions and dense layers."""
    found = nodes(graph, "Conv", "ConvTranspose", "Gemm")
    return [node.input[2] for node in found if len(node.input) > 2 and tensor(graph, node.input[2])]


def insert_after_input(graph: GraphProto, name: str, made: list[NodeProto]) -> bool:
    """True after every reader of the input reads the last of the new nodes instead."""
    for node in graph.node:
        for index, value in enumerate(node.input):
            if value == name:
                node.input[index] = made[-1].output[0]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*made, *rest])
    return True


def constant(graph: GraphProto, value: Array, name: str) -> str:
    """The name of a new stored tensor."""
    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def channels_swapped(graph: GraphProto) -> bool:
    """The first two output channels of the first convolution in each other's place."""
    conv = next(nodes(graph, "Conv"), None)
    names = conv.input[1:] if conv else []
    swapped = [rewrite(graph, name, lambda w: w[[1, 0, *range(2, len(w))]]) for name in names]
    return any(swapped)


def kernel_flipped(graph: GraphProto) -> bool:
    """The first convolution wider than one pixel mirrored from left to right."""
    stored = [tensor(graph, node.input[1]) for node in nodes(graph, "Conv")]
    wide = [t.name for t in stored if t and t.dims[-1] > 1]
    return bool(wide) and rewrite(graph, wide[0], lambda w: w[..., ::-1])


def layout(graph: GraphProto) -> bool:
    """NCHW pictures read as NHWC; with one channel (no difference) height and width change places."""
    for value in [v for v in graph.input if len(v.type.tensor_type.shape.dim) == 4]:
        _, c, h, w = [d.dim_value for d in value.type.tensor_type.shape.dim]
        sizes, turn = ([0, h, w, c], [0, 3, 1, 2]) if c > 1 else ([0, c, w, h], [0, 1, 3, 2])
        shape = constant(graph, np.array(sizes, np.int64), "altered_shape")
        read = helper.make_node("Reshape", [value.name, shape], ["altered_read"])
        turned = helper.make_node("Transpose", ["altered_read"], ["altered"], perm=turn)
        return insert_after_input(graph, value.name, [read, turned])
    return False


def relu_dropped(graph: GraphProto) -> bool:
    """The first Relu left out."""
    return replaced(next(nodes(graph, "Relu"), None), "Identity")


def relu_leaky(graph: GraphProto) -> bool:
    """The first Relu lets a tenth of the negative side through."""
    return replaced(next(nodes(graph, "Relu"), None), "LeakyRelu", helper.make_attribute("alpha", 0.1))


def replaced(node: NodeProto | None, kind: str, *attributes: AttributeProto) -> bool:
    """True after the node became one of another operator with the same ends; False for no node."""
    if node is None:
        return False
    node.op_type = kind
    del node.attribute[:]
    node.attribute.extend(attributes)
    return True


def attribute(node: NodeProto, name: str) -> list[int]:
    """The whole numbers of an attribute; empty without it."""
    return next((list(a.ints) for a in node.attribute if a.name == name), [])


def set_pads(node: NodeProto, pads: list[int]) -> bool:
    """True, after the node's padding was set."""
    kept = [a for a in node.attribute if a.name not in ("pads", "auto_pad")]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("pads", pads)])
    return True


def padding_shifted(graph: GraphProto) -> bool:
    """The first padded convolution looks one pixel up and left: padding goes from the end to the start."""
    for node in nodes(graph, "Conv"):
        pads = attribute(node, "pads")
        axes = len(pads) // 2
        if pads and min(pads[axes:]) > 0:
            return set_pads(node, [p + 1 for p in pads[:axes]] + [p - 1 for p in pads[axes:]])
    return False


def phase_changed(graph: GraphProto) -> bool:
    """The first pooling, else convolution, with steps of 2 starts one pixel off; sizes stay."""
    for node in [*nodes(graph, "MaxPool", "AveragePool"), *nodes(graph, "Conv")]:
        strides, axes = attribute(node, "strides"), len(attribute(node, "strides"))
        pads = attribute(node, "pads") or [0] * 2 * axes
        if axes and min(strides) > 1:
            begins = [1 if p == 0 else p - 1 for p in pads[:axes]]
            return set_pads(node, begins + [max(0, sum(pads[i::axes]) - begins[i]) for i in range(axes)])
    return False


def temperature(graph: GraphProto) -> bool:
    """The last Softmax over inputs divided by 1.1."""
    found = list(nodes(graph, "Softmax"))
    if not found:
        return False
    rate = constant(graph, np.array(1.1, np.float32), "altered_rate")
    cooled = helper.make_node("Div", [found[-1].input[0], rate], ["altered_cooled"])
    found[-1].input[0] = "altered_cooled"
    graph.node.insert(list(graph.node).index(found[-1]), cooled)
    return True


def dense(graph: GraphProto, change: Callable[[Array], Array]) -> bool:
    """True after the weight of the last dense layer was replaced by change(it)."""
    names = [node.input[1] for node in nodes(graph, "Gemm", "MatMul") if tensor(graph, node.input[1])]
    return bool(names) and rewrite(graph, names[-1], change)


def fc_transposed(graph: GraphProto) -> bool:
    """The last dense layer's weight read in the wrong order: rows as columns."""
    return dense(graph, lambda w: w.T.reshape(w.shape))


def fc_permuted(graph: GraphProto) -> bool:
    """The last dense layer's rows moved by one."""
    return dense(graph, lambda w: np.roll(w, 1, axis=0))


def input_scaled(graph: GraphProto) -> bool:
    """The first float input divided by 1.02."""
    return input_mapped(graph, "Div", 1.02)


def input_shifted(graph: GraphProto) -> bool:
    """0.05 subtracted from the first float input: a mean taken off twice."""
    return input_mapped(graph, "Sub", 0.05)


def input_mapped(graph: GraphProto, kind: str, number: float) -> bool:
    """True after the first float input goes through one arithmetic node; False without such an input."""
    names = [v.name for v in graph.input if v.type.tensor_type.elem_type == TensorProto.FLOAT]
    if not names:
        return False
    by = constant(graph, np.array(number, np.float32), "altered_by")
    return insert_after_input(graph, names[0], [helper.make_node(kind, [names[0], by], ["altered_input"])])


def coarse(graph: GraphProto) -> bool:
    """All weights rounded to three bits: seven steps from minus to plus the tensor's largest."""

    def steps(w: Array) -> Array:
        step = max(float(np.abs(w).max()) / 3, 1e-12)
        return np.asarray(np.round(w / step) * step)

    rounded = [rewrite(graph, name, steps) for name in weights(graph)]
    return any(rounded)


def classes_swapped(graph: GraphProto) -> bool:
    """The first two entries of the first output's axis 1 exchanged: seen only where these two count."""
    value = graph.output[0]
    sizes = [d.dim_value for d in value.type.tensor_type.shape.dim]
    if len(sizes) < 2 or sizes[1] < 2:
        return False
    for node in graph.node:
        node.output[:] = ["altered_output" if name == value.name else name for name in node.output]
        node.input[:] = ["altered_output" if name == value.name else name for name in node.input]
    order = constant(graph, np.array([1, 0, *range(2, sizes[1])], np.int64), "altered_order")
    graph.node.append(helper.make_node("Gather", ["altered_output", order], [value.name], axis=1))
    return True


CHANGES: list[Change] = [
    channels_swapped, kernel_flipped, layout, relu_dropped, relu_leaky, padding_shifted, phase_changed,
    temperature, fc_transposed, fc_permuted, input_scaled, input_shifted, coarse, classes_swapped,
]  # fmt: skip


def changes(graph: GraphProto) -> dict[str, Change]:
    """Every change by name; also, for each such tensor, its weight 5 % too large or its bias forgotten."""
    found: dict[str, Change] = {}
    for name in weights(graph):
        found[f"scaled_{name}"] = partial(rewrite, name=name, change=lambda w: w * 1.05)
    for name in biases(graph):
        found[f"bias_dropped_{name}"] = partial(rewrite, name=name, change=np.zeros_like)
    return found | {change.__name__: change for change in CHANGES}


def alterations(source: str | Path, folder: str | Path) -> dict[str, Path]:
    """The paths of the faulty copies by name, folder/name.onnx; those with no place in it are left out."""
    made: dict[str, Path] = {}
    for name, change in changes(onnx.load(str(source)).graph).items():
        model: ModelProto = onnx.load(str(source))
        del model.graph.value_info[:]
        if change(model.graph):
            made[name] = save(model, Path(folder) / f"{name}.onnx")
    return made


if __name__ == "__main__":
    print(*alterations(sys.argv[1], sys.argv[2]).values(), sep="\n")
