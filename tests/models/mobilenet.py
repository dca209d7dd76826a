"""MobileNetV2 with random but calibrated weights: `python -m tests.models.mobilenet OUT.onnx`.

Untreated random nets give the same output for every input, so no check on them can fail. Here one pass over a
seeded batch measures what each BatchNormalization sees; then the last layer is centred and scaled.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from .graph import Array, Graph, flow, save

# expansion, channels, repeats, first stride: table 2 of arxiv.org/abs/1801.04381
BLOCKS = [
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
]  # fmt: skip
EPSILON = 1e-5
# What a normalisation gives: deviation, mean. They keep the net from chaos, as training does: other inputs
# change the answer wholly, float16 weights by a few percent, another float32 engine by 1e-5.
RECTIFIED, LINEAR, RESIDUAL = (1.0, 1.0), (1.0, 0.0), (0.3, 0.0)
Statistics = Mapping[str, Array]
Fan = tuple[int, int]  # channels in, channels out
Wave = tuple[float, float]


def channels(count: float) -> int:
    """The multiple of 8 nearest to count, at least 8 and not below 90 % of it (the paper's rule)."""
    rounded = max(8, int(count + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * count else rounded + 8


class Net(Graph):
    """The network in the making; without statistics its normalisations measure the batch they see."""

    def __init__(self, seed: int, statistics: Statistics | None) -> None:
        super().__init__("mobilenet_v2", opset=17, seed=seed)
        self.statistics = statistics
        self.measured: list[str] = []

    def unit(
        self,
        x: str,
        fan: Fan,
        label: str,
        *,
        kernel: int = 1,
        stride: int = 1,
        group: int = 1,
        wave: Wave = RECTIFIED,
    ) -> str:
        """Convolution without bias, then normalisation: [N,in,H,W] -> [N,out,H/stride,W/stride]."""
        fan_in = fan[0] // group
        scale = (2.0 / (fan_in * kernel * kernel)) ** 0.5
        weight = self.random_weight((fan[1], fan_in, kernel, kernel), scale, f"{label}.weight")
        y = self.op("Conv", x, weight, strides=[stride] * 2, pads=[kernel // 2] * 4, group=group)
        gamma = self.keep(wave[0] * self.random.uniform(0.7, 1.3, fan[1]), f"{label}.gamma")
        beta = self.keep(self.random.normal(wave[1], 0.6, fan[1]), f"{label}.beta")
        return self.normalise(y, gamma, beta, label)

    def normalise(self, y: str, gamma: str, beta: str, label: str) -> str:
        """BatchNormalization with the measured statistics; while measuring, from the batch's own."""
        names = f"{label}.mean", f"{label}.variance"
        if self.statistics is not None:
            mean, variance = (self.keep(self.statistics[name].ravel(), name) for name in names)
            return self.op("BatchNormalization", y, gamma, beta, mean, variance, epsilon=EPSILON)
        self.measured += names
        rest = self.op("Sub", y, self.op("ReduceMean", y, out=names[0], axes=[0, 2, 3]))
        variance = self.op("ReduceMean", self.op("Mul", rest, rest), out=names[1], axes=[0, 2, 3])
        unit = self.op("Div", rest, self.op("Sqrt", self.op("Add", variance, self.keep(EPSILON))))
        gamma, beta = (self.op("Unsqueeze", v, self.keep([1, 2])) for v in (gamma, beta))
        return self.op("Add", self.op("Mul", unit, gamma), beta)

    def relu6(self, x: str) -> str:
        """x cut to 0..6."""
        return self.op("Clip", x, self.keep(0.0), self.keep(6.0))

    def block(self, x: str, fan: Fan, expand: int, stride: int, label: str) -> str:
        """An inverted residual: widen, filter each channel, narrow; x is added when the shape stayed."""
        wide, y = fan[0] * expand, x
        if expand > 1:
            y = self.relu6(self.unit(y, (fan[0], wide), f"{label}.expand"))
        y = self.relu6(self.unit(y, (wide, wide), f"{label}.depthwise", kernel=3, stride=stride, group=wide))
        stays = stride == 1 and fan[0] == fan[1]
        y = self.unit(y, (wide, fan[1]), f"{label}.project", wave=RESIDUAL if stays else LINEAR)
        return self.op("Add", x, y) if stays else y

    def features(self, width: float) -> int:
        """The number of features; the value "features" [N, that many] holds their means over the image."""
        now, label = channels(32 * width), 0
        x = self.relu6(self.unit("image", (3, now), "stem", kernel=3, stride=2))
        for expand, count, repeats, first in BLOCKS:
            for index in range(repeats):
                fan = now, channels(count * width)
                x = self.block(x, fan, expand, 1 if index else first, f"block{label}")
                now, label = fan[1], label + 1
        top = channels(1280 * max(1.0, width))
        x = self.relu6(self.unit(x, (now, top), "top"))
        self.op("Flatten", self.op("GlobalAveragePool", x), out="features", axis=1)
        return top


def images(n: int, seed: int = 0, size: int = 224) -> NDArray[np.float32]:
    """Seeded pictures float32 [n,3,size,size] of deviation 1: noise of several grains, each third white."""
    random = np.random.default_rng(seed)
    made = np.zeros((n, 3, size, size), np.float32)
    for index in range(n):
        for grain in (1,) if index % 3 == 2 else (1, 4, 16, 56):
            coarse = random.standard_normal((3, -(-size // grain), -(-size // grain)))
            made[index] += coarse.repeat(grain, axis=1).repeat(grain, axis=2)[:, :size, :size]
        made[index] /= made[index].std()
    return made


def measuring(seed: int, width: float, size: int) -> ModelProto:
    """A model that gives the features of a batch and the mean and variance that each normalisation saw."""
    net = Net(seed, None)
    count = net.features(width)
    outputs: dict[str, list[int | str]] = {"features": ["N", count]}
    outputs |= {name: [1, f"channels{index // 2}", 1, 1] for index, name in enumerate(net.measured)}
    return net.model({"image": ["N", 3, size, size]}, outputs)


def measure(path: Path, seed: int, width: float, size: int, batch: int = 12) -> dict[str, Array]:
    """What one pass over the seeded batch gave, by name; the model for it lies at `path` for that time."""
    model = measuring(seed, width, size)
    save(model, path)
    values = flow(path, {"image": images(batch, seed + 1, size)})
    path.unlink()
    return {value.name: array for value, array in zip(model.graph.output, values, strict=True)}


def head(features: Array, classes: int, seed: int) -> tuple[Array, Array]:
    """Weight [count, classes] and bias [classes]: logits of mean 0, deviation 2.5 for these features."""
    weight = np.random.default_rng(seed + 2).standard_normal((features.shape[1], classes))
    logits = (features - features.mean(axis=0)) @ weight
    weight *= 2.5 / logits.std(axis=0)
    return weight, -features.mean(axis=0) @ weight


def make(path: str | Path, seed: int = 0, width: float = 1.0, size: int = 224, classes: int = 1000) -> Path:
    """The model's path: "image" float32 [1,3,size,size] -> "probabilities" [1,classes], opset 17, IR 8."""
    path = Path(path)
    measured = measure(path.with_suffix(".measuring.onnx"), seed, width, size)
    net = Net(seed, measured)
    net.features(width)
    weight, bias = head(measured["features"].astype(np.float64), classes, seed)
    logits = net.op("Gemm", "features", net.keep(weight, "head.weight"), net.keep(bias, "head.bias"))
    net.op("Softmax", logits, out="probabilities", axis=1)
    return save(net.model({"image": [1, 3, size, size]}, {"probabilities": [1, classes]}), path)


if __name__ == "__main__":
    print(make(sys.argv[1]))
