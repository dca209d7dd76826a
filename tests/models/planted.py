"""One fault in one node of a model, and the node that has it: what `envctl debug` must find.

Each fault is a mistake that converters, engines or people make: `plant(name, model)` alters the model in place and
returns the first output of the guilty node, as the healthy model calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, helper, numpy_helper

from .altered import attribute, set_pads, tensor
from .graph import Array, feeds

Plant = Callable[[ModelProto], str]


def pick(
    model: ModelProto, *kinds: str, at: float = 0.5, fits: Callable[[NodeProto], bool] = lambda _: True
) -> NodeProto:
    """The node of these operators at a share of the way through the graph."""
    found = [node for node in model.graph.node if node.op_type in kinds and fits(node)]
    assert found, f"no {kinds} that fits"
    return found[min(len(found) - 1, int(at * len(found)))]


def own_copy(model: ModelProto, node: NodeProto, index: int, change: Callable[[Array], Array]) -> str:
    """Give the node a stored tensor of its own, changed: the original may have other readers."""
    stored = tensor(model.graph, node.input[index])
    assert stored is not None, f"{node.name} has no stored input {index}"
    old = numpy_helper.to_array(stored)
    new = np.array(np.asarray(change(old)).astype(old.dtype), order="C")
    assert new.shape == old.shape and not np.array_equal(old, new)
    name = f"planted_{node.input[index]}"
    model.graph.initializer.append(numpy_helper.from_array(new, name))
    node.input[index] = name
    return str(node.output[0])


def set_attribute(node: NodeProto, name: str, value: object) -> str:
    """Replace an attribute."""
    kept: list[AttributeProto] = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
    return str(node.output[0])


def left_out(model: ModelProto, node: NodeProto) -> str:
    """Take the node out; its readers read what it read."""
    gone, before = node.output[0], node.input[0]
    model.graph.node.remove(node)
    for other in model.graph.node:
        other.input[:] = [before if name == gone else name for name in other.input]
    return str(gone)


def merged_away(model: ModelProto, node: NodeProto) -> str:
    """Take the node out; the one before it makes what it made, under its name."""
    gone, before = node.output[0], node.input[0]
    model.graph.node.remove(node)
    for other in model.graph.node:
        other.output[:] = [gone if name == before else name for name in other.output]
        other.input[:] = [gone if name == before else name for name in other.input]
    return str(gone)


def quantised(source: Path, target: Path) -> Path:
    """The model in QDQ int8, calibrated on seeded inputs."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc,unused-ignore]
        """Eight seeded samples."""

        def __init__(self) -> None:
            self.left = iter([feeds(source, seed=seed, batch=1) for seed in range(8)])

        def get_next(self) -> dict[str, Array] | None:
            return next(self.left, None)

    kinds = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
    extra = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    quantize_static(
        source, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, extra_options=extra, **kinds
    )
    return target


def has_weight(model: ModelProto, least: int = 2, index: int = 1) -> Callable[[NodeProto], bool]:
    """Nodes whose weight is stored in the file, with as many axes at least."""

    def fits(node: NodeProto) -> bool:
        stored = tensor(model.graph, node.input[index]) if len(node.input) > index else None
        return stored is not None and len(stored.dims) >= least

    return fits


def weight_scaled(model: ModelProto, at: float = 0.4, by: float = 1.05) -> str:
    node = pick(model, "Conv", "Gemm", "MatMul", at=at, fits=has_weight(model))
    return own_copy(model, node, 1, lambda w: w * by)


def channels_swapped(model: ModelProto, at: float = 0.5) -> str:
    node = pick(model, "Conv", at=at, fits=has_weight(model))
    return own_copy(model, node, 1, lambda w: w[[1, 0, *range(2, len(w))]])


def kernel_flipped(model: ModelProto) -> str:
    wide = lambda node: tensor(model.graph, node.input[1]).dims[-1] > 1  # noqa: E731
    node = pick(model, "Conv", at=0.6, fits=lambda n: has_weight(model)(n) and wide(n))
    return own_copy(model, node, 1, lambda w: w[..., ::-1])


def bias_dropped(model: ModelProto, at: float = 0.3) -> str:
    node = pick(model, "Conv", "Gemm", at=at, fits=has_weight(model, 1, 2))
    return own_copy(model, node, 2, np.zeros_like)


def padding_shifted(model: ModelProto, at: float = 0.5) -> str:
    """Padding goes from the end to the start: TensorFlow's SAME taken for SAME_LOWER, say."""

    def fits(node: NodeProto) -> bool:
        pads = attribute(node, "pads")
        return bool(pads) and min(pads[len(pads) // 2 :]) > 0

    node = pick(model, "Conv", at=at, fits=fits)
    pads = attribute(node, "pads")
    half = len(pads) // 2
    set_pads(node, [p + 1 for p in pads[:half]] + [p - 1 for p in pads[half:]])
    return str(node.output[0])


def padding_mode(model: ModelProto) -> str:
    """Explicit zeros become the edge's values: a Pad in another mode."""
    node = pick(model, "Pad", at=0.5)
    return set_attribute(node, "mode", "edge")


def activation_leaky(model: ModelProto, at: float = 0.5) -> str:
    node = pick(model, "Relu", at=at)
    node.op_type = "LeakyRelu"
    return set_attribute(node, "alpha", 0.1)


def activation_left_out(model: ModelProto, at: float = 0.4) -> str:
    return left_out(model, pick(model, "Relu", "Clip", at=at))


def activation_merged_away(model: ModelProto, at: float = 0.6) -> str:
    return merged_away(model, pick(model, "Relu", "Clip", at=at))


def softmax_axis(model: ModelProto, axis: int = -2) -> str:
    return set_attribute(pick(model, "Softmax", at=0.0), "axis", axis)


def transposed(model: ModelProto, perm: Sequence[int]) -> str:
    """Another order of axes, with the same shape where two of them are as long."""
    before = sorted(perm)
    node = pick(model, "Transpose", at=0.0, fits=lambda n: len(attribute(n, "perm")) == len(before))
    return set_attribute(node, "perm", list(perm))


def pooling_average(model: ModelProto, at: float = 0.5) -> str:
    node = pick(model, "MaxPool", at=at)
    node.op_type = "AveragePool"
    return str(node.output[0])


def average_counts_padding(model: ModelProto) -> str:
    """An average over a border counts its zeros."""
    node = pick(model, "AveragePool", at=0.5)
    return set_attribute(node, "count_include_pad", 1)


def clip_lower(model: ModelProto) -> str:
    node = pick(model, "Clip", at=0.55)
    return own_copy(model, node, 2, lambda most: most * 0.5)


def concat_order(model: ModelProto, at: float = 0.5) -> str:
    node = pick(model, "Concat", at=at, fits=lambda n: len(n.input) > 1)
    node.input[:] = list(node.input)[::-1]
    return str(node.output[0])


def epsilon(model: ModelProto) -> str:
    """The constant beside a variance is another: 1e-5 taken for 1e-1."""
    after = {name for node in model.graph.node if node.op_type == "ReduceMean" for name in node.output}
    node = pick(model, "Add", at=0.0, fits=lambda n: n.input[0] in after and has_weight(model, 0)(n))
    return own_copy(model, node, 1, lambda e: e + 0.1)


def embedding_shifted(model: ModelProto) -> str:
    """Row 1 of the table is row 0: a vocabulary that starts elsewhere."""
    node = pick(model, "Gather", at=0.0)
    return own_copy(model, node, 0, lambda table: np.roll(table, 1, axis=0))


def weight_transposed(model: ModelProto) -> str:
    def square(node: NodeProto) -> bool:
        stored = tensor(model.graph, node.input[1])
        return stored is not None and len(stored.dims) == 2 and stored.dims[0] == stored.dims[1]

    return own_copy(model, pick(model, "MatMul", "Gemm", at=0.7, fits=square), 1, lambda w: w.T)


def activation_scale(model: ModelProto) -> str:
    """A quantised activation read with half its scale."""
    node = pick(model, "DequantizeLinear", at=0.5, fits=lambda n: tensor(model.graph, n.input[0]) is None)
    return own_copy(model, node, 1, lambda scale: scale * 0.5)


def weight_scale(model: ModelProto) -> str:
    """One channel of a quantised weight read with four times its scale."""
    many = lambda n: len(tensor(model.graph, n.input[1]).dims) == 1 and tensor(model.graph, n.input[1]).dims[0] > 1  # noqa: E731
    node = pick(
        model, "DequantizeLinear", at=0.4, fits=lambda n: tensor(model.graph, n.input[0]) is not None and many(n)
    )
    return own_copy(model, node, 1, lambda scale: np.concatenate([scale[:1] * 4, scale[1:]]))


# architecture, fault, how it is planted
FAULTS: list[tuple[str, str, Plant]] = [
    ("mobilenetv2", "weight scaled by 1.05", weight_scaled),
    ("mobilenetv2", "activation left out", activation_left_out),
    ("mobilenetv2", "clip at 3 instead of 6", clip_lower),
    ("mobilenetv2", "bias dropped", bias_dropped),
    ("mobilenetv2", "padding mode", padding_mode),
    ("resnet50", "output channels swapped", channels_swapped),
    ("resnet50", "padding from the end to the start", padding_shifted),
    ("resnet50", "activation merged away", activation_merged_away),
    ("resnet50", "weight scaled by 1.01, deep", lambda model: weight_scaled(model, 0.9, 1.01)),
    ("inceptionv3", "kernel flipped", kernel_flipped),
    ("inceptionv3", "order of a Concat", concat_order),
    ("inceptionv3", "average counts the padding", average_counts_padding),
    ("inceptionv3", "activation leaky, early", lambda model: activation_leaky(model, 0.1)),
    ("unet", "maximum becomes average", pooling_average),
    ("unet", "axes in another order", lambda model: transposed(model, [0, 3, 2, 1])),
    ("unet", "softmax over another axis", lambda model: softmax_axis(model, 2)),
    ("tokens", "attention over another axis", softmax_axis),
    ("tokens", "epsilon of a normalisation", epsilon),
    ("tokens", "embedding shifted by a row", embedding_shifted),
    ("tokens", "weight transposed", weight_transposed),
    ("quantised", "scale of an activation halved", activation_scale),
    ("quantised", "scale of a weight's channel", weight_scale),
]
