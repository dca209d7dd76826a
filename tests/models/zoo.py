"""Small honest models of many structures: `python -m tests.models.zoo FOLDER`.

Every output answers its inputs: zeros, permuted or other inputs move it by far more than 1e-2 of its scale.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto

from .graph import VOCABULARY, Graph, save

AROUND: dict[str, Any] = {"pads": [1, 1, 1, 1]}


def mlp() -> ModelProto:
    """From "features" [1,32] -> two hidden layers -> "scores" [1,6]."""
    g = Graph("mlp")
    x = g.op("Relu", g.dense("features", (32, 48)))
    x = g.op("Tanh", g.dense(x, (48, 24)))
    g.dense(x, (24, 6), out="scores")
    return g.model({"features": [1, 32]}, {"scores": [1, 6]})


def asymmetric() -> ModelProto:
    """From "image" [1,3,17,19]: unlike padding, strides and dilations -> "probabilities" [1,5]; opset 13."""
    g = Graph("asymmetric", opset=13)
    x = g.op("Relu", g.conv("image", (3, 8), pads=[0, 1, 2, 1], strides=[2, 1]))
    x = g.op("Tanh", g.conv(x, (8, 8), pads=[3, 0, 1, 2], dilations=[2, 1]))
    x = g.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
    x = g.dense(g.op("Flatten", x, axis=1), (8 * 4 * 9, 5), gain=4.0)
    g.op("Softmax", x, out="probabilities", axis=1)
    return g.model({"image": [1, 3, 17, 19]}, {"probabilities": [1, 5]})


def unet() -> ModelProto:
    """From "image" [1,3,32,32] -> ConvTranspose, Concat -> "classes" [1,4,32,32], sum 1 over axis 1."""
    g = Graph("unet", opset=13)
    fine = g.op("Relu", g.conv("image", (3, 8), **AROUND))
    low = g.op("MaxPool", fine, kernel_shape=[2, 2], strides=[2, 2])
    low = g.op("Relu", g.conv(low, (8, 16), **AROUND))
    up = g.op("ConvTranspose", low, g.random_weight((16, 8, 2, 2), 0.35), strides=[2, 2])
    x = g.op("Relu", g.conv(g.op("Concat", fine, up, axis=1), (16, 8), **AROUND))
    g.op("Softmax", g.conv(x, (8, 4), kernel=1), out="classes", axis=1)
    return g.model({"image": [1, 3, 32, 32]}, {"classes": [1, 4, 32, 32]})


def resize() -> ModelProto:
    """From "image" [1,2,12,10] -> linear, then nearest upsampling by 2 -> "picture" [1,3,48,40]; opset 11."""
    g = Graph("resize", opset=11)
    region, double = g.keep(np.zeros(0)), g.keep(np.array([1.0, 1.0, 2.0, 2.0]))
    x = g.op("Relu", g.conv("image", (2, 6), **AROUND))
    x = g.op("Resize", x, region, double, mode="linear", coordinate_transformation_mode="half_pixel")
    x = g.op("LeakyRelu", g.conv(x, (6, 6), **AROUND), alpha=0.2)
    nearest = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    x = g.op("Resize", x, region, double, mode="nearest", **nearest)
    g.op("Sigmoid", g.conv(x, (6, 3), kernel=1), out="picture")
    return g.model({"image": [1, 2, 12, 10]}, {"picture": [1, 3, 48, 40]})


def two_inputs() -> ModelProto:
    """From "left" [1,20] and "right" [1,12] -> product and sum of both -> "score" [1,4]."""
    g = Graph("two_inputs")
    left, right = g.op("Tanh", g.dense("left", (20, 16))), g.dense("right", (12, 16))
    both = g.op("Concat", g.op("Mul", left, right), g.op("Add", left, right), axis=1)
    g.dense(both, (32, 4), out="score")
    return g.model({"left": [1, 20], "right": [1, 12]}, {"score": [1, 4]})


def two_outputs() -> ModelProto:
    """From "image" [1,3,16,16] -> "boxes" [1,8,4] and "classes" [1,8,3], sum 1 over axis 2; opset 15."""
    g = Graph("two_outputs", opset=15)
    x = g.op("Relu", g.conv("image", (3, 8), strides=[2, 2], **AROUND))
    x = g.op("Flatten", g.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), axis=1)
    g.op("Reshape", g.dense(x, (128, 32)), g.keep([1, 8, 4]), out="boxes")
    classes = g.op("Reshape", g.dense(x, (128, 24), gain=3.0), g.keep([1, 8, 3]))
    g.op("Softmax", classes, out="classes", axis=2)
    return g.model({"image": [1, 3, 16, 16]}, {"boxes": [1, 8, 4], "classes": [1, 8, 3]})


def layer_norm(g: Graph, x: str, count: int) -> str:
    """x [...,count] with mean 0 and variance 1 over its last axis, scaled and shifted, in primitives."""
    rest = g.op("Sub", x, g.op("ReduceMean", x, axes=[-1]))
    variance = g.op("ReduceMean", g.op("Mul", rest, rest), axes=[-1])
    unit = g.op("Div", rest, g.op("Sqrt", g.op("Add", variance, g.keep(1e-5))))
    gamma = g.keep(1 + 0.2 * g.random.standard_normal(count), "gamma_" + x)
    return g.op("Add", g.op("Mul", unit, gamma), g.random_weight((count,), 0.2))


def attend(g: Graph, x: str) -> str:
    """Self-attention with 4 heads over x [1,16,32]; the same shape comes back."""

    def heads(turn: list[int]) -> str:
        y = g.op("MatMul", x, g.random_weight((32, 32), 32**-0.5))
        return g.op("Transpose", g.op("Reshape", y, g.keep([1, 16, 4, 8])), perm=turn)

    query, keys, values = heads([0, 2, 1, 3]), heads([0, 2, 3, 1]), heads([0, 2, 1, 3])
    match = g.op("Mul", g.op("MatMul", query, keys), g.keep(8**-0.5))
    y = g.op("MatMul", g.op("Softmax", match, axis=-1), values)
    y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), g.keep([1, 16, 32]))
    return g.op("MatMul", y, g.random_weight((32, 32), 32**-0.5))


def tokens() -> ModelProto:
    """From "tokens" int64 [1,16] in 0..99 -> embedding, one transformer block -> "embedding" [1,32]."""
    g = Graph("tokens")
    x = g.op("Gather", g.random_weight((VOCABULARY, 32), 1.0, "words"), "tokens", axis=0)
    x = g.op("Add", x, g.random_weight((1, 16, 32), 1.0, "positions"))
    x = g.op("Add", x, attend(g, layer_norm(g, x, 32)))
    y = g.op("MatMul", layer_norm(g, x, 32), g.random_weight((32, 64), 0.25))
    half = g.op("Mul", y, g.keep(0.5))
    erf = g.op("Add", g.op("Erf", g.op("Mul", y, g.keep(0.5**0.5))), g.keep(1.0))
    y = g.op("MatMul", g.op("Mul", half, erf), g.random_weight((64, 32), 0.25))
    g.op("ReduceMean", g.op("Add", x, y), out="embedding", axes=[1], keepdims=0)
    return g.model({"tokens": [1, 16]}, {"embedding": [1, 32]}, tokens=["tokens"])


def dynamic() -> ModelProto:
    """From "image" ["N",3,16,16] -> separable convolutions, Gelu of opset 20 -> "scores" ["N",5]."""
    g = Graph("dynamic", opset=20)
    x = g.op("Gelu", g.conv("image", (3, 8), **AROUND))
    x = g.conv(x, (8, 8), strides=[2, 2], group=8, **AROUND)
    x = g.op("Gelu", g.conv(x, (8, 16), kernel=1), approximate="tanh")
    g.dense(g.op("Flatten", x, axis=1), (16 * 64, 5), out="scores")
    return g.model({"image": ["N", 3, 16, 16]}, {"scores": ["N", 5]})


def lstm() -> ModelProto:
    """From "signal" [20,1,8] (time first) -> LSTM of 16 -> "scores" [1,4] from its last state; opset 15."""
    g = Graph("lstm", opset=15)
    shapes = {(1, 64, 8): 0.4, (1, 64, 16): 0.25, (1, 128): 0.1}
    weights = [g.random_weight(shape, scale) for shape, scale in shapes.items()]
    last = g.ops("LSTM", "signal", *weights, outs=["", "last"], hidden_size=16)[1]
    g.dense(g.op("Squeeze", last, g.keep([0])), (16, 4), gain=3.0, out="scores")
    return g.model({"signal": [20, 1, 8]}, {"scores": [1, 4]})


def gru() -> ModelProto:
    """From "signal" [12,1,6] (time first) -> GRU of 10 in both directions -> "states" [12,2,1,10]."""
    g = Graph("gru")
    shapes = {(2, 30, 6): 0.5, (2, 30, 10): 0.3, (2, 60): 0.1}
    weights = [g.random_weight(shape, scale) for shape, scale in shapes.items()]
    how = {"hidden_size": 10, "direction": "bidirectional", "linear_before_reset": 1}
    g.ops("GRU", "signal", *weights, outs=["states"], **how)
    return g.model({"signal": [12, 1, 6]}, {"states": [12, 2, 1, 10]})


def half() -> ModelProto:
    """From "image" [1,3,12,12] -> everything in float16 -> "scores" float32 [1,5]."""
    g = Graph("half", dtype=np.float16)
    x = g.op("Cast", "image", to=TensorProto.FLOAT16)
    x = g.op("Relu", g.conv(x, (3, 8), strides=[2, 2], **AROUND))
    x = g.dense(g.op("Flatten", x, axis=1), (288, 5))
    g.op("Cast", x, out="scores", to=TensorProto.FLOAT)
    return g.model({"image": [1, 3, 12, 12]}, {"scores": [1, 5]})


def large() -> ModelProto:
    """From "features" [1,24] -> "logits" [1,8] of about 100."""
    g = Graph("large")
    g.dense(g.op("Relu", g.dense("features", (24, 64))), (64, 8), gain=100.0, out="logits")
    return g.model({"features": [1, 24]}, {"logits": [1, 8]})


def tiny() -> ModelProto:
    """From "features" [1,16] -> "probabilities" [1,4096], each about 2e-4."""
    g = Graph("tiny")
    x = g.dense(g.op("Tanh", g.dense("features", (16, 32))), (32, 4096), gain=0.7)
    g.op("Softmax", x, out="probabilities", axis=1)
    return g.model({"features": [1, 16]}, {"probabilities": [1, 4096]})


def nhwc() -> ModelProto:
    """From "image" [1,14,18,3] (channels last) -> Transpose, Conv, Transpose -> "map" [1,7,9,6]."""
    g = Graph("nhwc")
    x = g.op("Transpose", "image", perm=[0, 3, 1, 2])
    x = g.op("Relu", g.conv(x, (3, 8), strides=[2, 2], **AROUND))
    x = g.op("HardSwish", g.conv(x, (8, 6), **AROUND))
    g.op("Transpose", x, out="map", perm=[0, 2, 3, 1])
    return g.model({"image": [1, 14, 18, 3]}, {"map": [1, 7, 9, 6]})


MODELS: list[Callable[[], ModelProto]] = [
    mlp, asymmetric, unet, resize, two_inputs, two_outputs, tokens, dynamic, lstm, gru, half, large, tiny,
    nhwc,
]  # fmt: skip


def make(name: str, folder: str | Path) -> Path:
    """The path of one model, folder/name.onnx; StopIteration for an unknown name."""
    model = next(maker for maker in MODELS if maker.__name__ == name)()
    return save(model, Path(folder) / f"{name}.onnx")


def make_all(folder: str | Path) -> dict[str, Path]:
    """The paths of all models by name, each written to folder/name.onnx."""
    return {maker.__name__: make(maker.__name__, folder) for maker in MODELS}


if __name__ == "__main__":
    print(*make_all(sys.argv[1]).values(), sep="\n")
