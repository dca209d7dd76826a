"""Models that a converter to ncnn, or MXNet's importer, stumbles over: `python -m tests.models.padding FOLDER`.

Keras exports "same" padding of a strided convolution as a Pad of its own, on two sides alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from onnx import ModelProto

from .graph import Graph, save

TWO_SIDES = [0, 0, 0, 0, 0, 0, 1, 1]


def foldable() -> ModelProto:
    """From "image" [1,3,16,16]: Pad before each strided convolution, which onnxslim folds -> "scores" [1,5]."""
    g = Graph("foldable", opset=13)
    x = g.op("Relu", g.conv(g.op("Pad", "image", g.keep(TWO_SIDES)), (3, 8), strides=[2, 2]))
    x = g.conv(g.op("Pad", x, g.keep(TWO_SIDES)), (8, 8), group=8, strides=[2, 2])
    g.dense(g.op("Flatten", x, axis=1), (8 * 4 * 4, 5), out="scores")
    return g.model({"image": [1, 3, 16, 16]}, {"scores": [1, 5]})


def left_over() -> ModelProto:
    """From "image" [1,3,16,16]: a Pad of the batch, which nothing folds -> "map" [2,8,8,8]."""
    g = Graph("left_over", opset=13)
    x = g.op("Pad", g.conv("image", (3, 8), strides=[2, 2], pads=[1, 1, 1, 1]), g.keep([1, 0, 0, 0, 0, 0, 0, 0]))
    g.op("Relu", x, out="map")
    return g.model({"image": [1, 3, 16, 16]}, {"map": [2, 8, 8, 8]})


def unsaid() -> ModelProto:
    """From "image" [1,3,16,16]: Pads without a mode, of channels and before a pooling, as Keras' ResNet50 has it."""
    g = Graph("unsaid", opset=13)
    x = g.op("Pad", g.conv("image", (3, 8), strides=[2, 2], pads=[1, 1, 1, 1]), g.keep([0, 1, 0, 0, 0, 0, 0, 0]))
    x = g.op("Pad", g.op("Relu", x), g.keep([0, 0, 1, 1, 0, 0, 1, 1]))
    g.op("MaxPool", x, out="map", kernel_shape=[3, 3], strides=[2, 2])
    return g.model({"image": [1, 3, 16, 16]}, {"map": [1, 9, 4, 4]})


def bare() -> ModelProto:
    """From "image" [1,3,6,6], without any weight: x - sigmoid(x), nothing below zero -> "map" [1,3,6,6]."""
    g = Graph("bare", opset=13)
    g.op("Relu", g.op("Sub", "image", g.op("Sigmoid", "image")), out="map")
    return g.model({"image": [1, 3, 6, 6]}, {"map": [1, 3, 6, 6]})


def batched() -> ModelProto:
    """From "image" [4,3,8,8], a batch of four by declaration -> "scores" [4,5]."""
    g = Graph("batched", opset=13)
    x = g.op("Relu", g.conv("image", (3, 8), strides=[2, 2]))
    g.dense(g.op("Flatten", x, axis=1), (8 * 3 * 3, 5), out="scores")
    return g.model({"image": [4, 3, 8, 8]}, {"scores": [4, 5]})


def summed() -> ModelProto:
    """From "image" [4,3,8,8]: the sum over everything, the batch too -> "sum" []."""
    g = Graph("summed", opset=13)
    g.op("ReduceSum", g.op("Relu", g.conv("image", (3, 8))), out="sum", keepdims=0)
    return g.model({"image": [4, 3, 8, 8]}, {"sum": []})


def old() -> ModelProto:
    """From "image" [1,3,16,16] at opset 11 -> "probabilities" [1,5], "gates" [1,4,8,8]; no kernel shapes named."""
    g = Graph("old", opset=11)
    x = g.op("Relu", g.conv("image", (3, 8), pads=[1, 1, 1, 1]))
    x = g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    g.op("Sigmoid", g.conv(x, (8, 4), kernel=1), out="gates")
    g.op("Softmax", g.dense(g.op("Flatten", x, axis=1), (8 * 64, 5), gain=3.0), out="probabilities", axis=1)
    return g.model({"image": [1, 3, 16, 16]}, {"probabilities": [1, 5], "gates": [1, 4, 8, 8]})


def repeated() -> ModelProto:
    """From "image" [1,3,8,8]: every row twice, as Keras 3 writes nearest upsampling -> "map" [1,4,14,4]."""
    g = Graph("repeated", opset=13)
    x = g.op("Relu", g.conv("image", (3, 4), pads=[1, 1, 1, 1]))
    x = g.op("Tile", g.op("Unsqueeze", x, g.keep([3])), g.keep([1, 1, 1, 2, 1]))
    x = g.op("Reshape", x, g.keep([1, 4, 16, 8]))
    g.op("Sigmoid", g.conv(x, (4, 4), strides=[1, 2], pads=[0, 0, 0, 1]), out="map")
    return g.model({"image": [1, 3, 8, 8]}, {"map": [1, 4, 14, 4]})


MODELS: list[Callable[[], ModelProto]] = [foldable, left_over, unsaid, bare, batched, summed, old, repeated]


def make_all(folder: str | Path) -> dict[str, Path]:
    """The paths of all models by name, each written to folder/name.onnx."""
    return {maker.__name__: save(maker(), Path(folder) / f"{maker.__name__}.onnx") for maker in MODELS}


if __name__ == "__main__":
    print(*make_all(sys.argv[1]).values(), sep="\n")
