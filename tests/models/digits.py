"""A small CNN, trained here on real 8x8 digits: `python tests/models/digits.py OUT.onnx`.

"image" float32 [N,1,8,8] in 0..1 -> Conv 8, Relu, Conv 16, Relu, MaxPool 2, Gemm, Softmax
-> "probabilities" [N,10].
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Weights = dict[str, Floats]
TRAINED_ON, BATCH, EPOCHS, RATE = 1400, 32, 3, 5e-3
LEAST_ACCURACY = 0.93


@cache
def dataset() -> tuple[Floats, Labels]:
    """All 1797 digits in a fixed random order: images float32 [1797,1,8,8] in 0..1, labels int64 [1797]."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return (images[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8), labels[order].astype(np.int64)


def samples(n: int) -> tuple[Floats, Labels]:
    """The first n held-out digits (at most 397): images float32 [n,1,8,8] in 0..1, labels int64 [n]."""
    images, labels = dataset()
    held_out = slice(TRAINED_ON, TRAINED_ON + n)
    if TRAINED_ON + n > len(labels):
        raise ValueError(f"{n} samples asked for, {len(labels) - TRAINED_ON} are held out")
    return images[held_out].copy(), labels[held_out].copy()


def patches(x: Floats) -> Floats:
    """The 3x3 neighbourhoods of [n,c,8,8], padded with one zero, as rows [n*64, c*9]."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.asarray(windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * 9), np.float32)


def planes(rows: Floats, n: int) -> Floats:
    """Rows [n*64, c] as images [n,c,8,8]."""
    return np.ascontiguousarray(rows.reshape(n, 8, 8, -1).transpose(0, 3, 1, 2))


def rows(images: Floats) -> Floats:
    """Images [n,c,8,8] as rows [n*64, c]: the inverse of planes."""
    return np.asarray(images.transpose(0, 2, 3, 1).reshape(-1, images.shape[1]), np.float32)


def kernel(weight: Floats) -> Floats:
    """A Conv weight [out,in,3,3] as a matrix [in*9, out]."""
    return np.asarray(weight.reshape(len(weight), -1).T, np.float32)


def initial() -> Weights:
    """Untrained weights, seeded: He-scaled normal numbers, zero biases."""
    random = np.random.default_rng(1)
    shapes = {"conv1": (8, 1, 3, 3), "conv2": (16, 8, 3, 3), "fc": (256, 10)}
    fans = {"conv1": 9, "conv2": 72, "fc": 256}
    weights: Weights = {}
    for name, shape in shapes.items():
        scaled = random.standard_normal(shape) * (2 / fans[name]) ** 0.5
        weights[f"{name}.weight"] = scaled.astype(np.float32)
        weights[f"{name}.bias"] = np.zeros(10 if name == "fc" else shape[0], np.float32)
    return weights


def forward(w: Weights, x: Floats) -> dict[str, Floats]:
    """Every step's value for x [n,1,8,8]; "p" holds the probabilities [n,10]."""
    n = len(x)
    v = {"c1": patches(x)}
    v["a1"] = planes(np.maximum(v["c1"] @ kernel(w["conv1.weight"]) + w["conv1.bias"], 0), n)
    v["c2"] = patches(v["a1"])
    v["a2"] = planes(np.maximum(v["c2"] @ kernel(w["conv2.weight"]) + w["conv2.bias"], 0), n)
    v["pool"] = v["a2"].reshape(n, 16, 4, 2, 4, 2).max(axis=(3, 5))
    logits = v["pool"].reshape(n, 256) @ w["fc.weight"] + w["fc.bias"]
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    v["p"] = e / e.sum(axis=1, keepdims=True)
    return v


def gradients(w: Weights, x: Floats, y: Labels) -> Weights:
    """The slopes of the mean cross entropy of x [n,1,8,8], y [n] with respect to each weight."""
    n, v = len(x), forward(w, x)
    d = (v["p"] - np.eye(10, dtype=np.float32)[y]) / np.float32(n)
    g = {"fc.weight": v["pool"].reshape(n, 256).T @ d, "fc.bias": d.sum(axis=0)}
    d_pool = (d @ w["fc.weight"].T).reshape(n, 16, 4, 4)
    up = [a.repeat(2, axis=2).repeat(2, axis=3) for a in (d_pool, v["pool"])]
    d2 = rows(up[0] * ((v["a2"] == up[1]) & (v["a2"] > 0)))
    g["conv2.weight"] = (v["c2"].T @ d2).T.reshape(16, 8, 3, 3)
    g["conv2.bias"] = d2.sum(axis=0)
    turned = w["conv2.weight"][:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    d1 = (patches(planes(d2, n)) @ kernel(turned)) * (rows(v["a1"]) > 0)
    g["conv1.weight"] = (v["c1"].T @ d1).T.reshape(8, 1, 3, 3)
    g["conv1.bias"] = d1.sum(axis=0)
    return g


@cache
def train() -> Weights:
    """Weights after a fixed number of Adam steps; RuntimeError when they know too few held-out digits."""
    images, labels = dataset()
    random, w = np.random.default_rng(2), initial()
    m = {k: np.zeros_like(a) for k, a in w.items()}
    s = {k: np.zeros_like(a) for k, a in w.items()}
    for step in range(1, EPOCHS * TRAINED_ON // BATCH + 1):
        pick = random.integers(0, TRAINED_ON, BATCH)
        for k, g in gradients(w, images[pick], labels[pick]).items():
            m[k] = 0.9 * m[k] + 0.1 * g
            s[k] = 0.99 * s[k] + 0.01 * g * g
            w[k] = w[k] - RATE * (m[k] / (1 - 0.9**step)) / (np.sqrt(s[k] / (1 - 0.99**step)) + 1e-8)
    if accuracy(w) < LEAST_ACCURACY:
        raise RuntimeError(f"held-out accuracy {accuracy(w):.3f} is below {LEAST_ACCURACY}")
    return {k: np.asarray(a, np.float32) for k, a in w.items()}


def accuracy(w: Weights) -> float:
    """The share of held-out digits whose largest probability is the label's, 0..1."""
    images, labels = samples(len(dataset()[1]) - TRAINED_ON)
    return float((forward(w, images)["p"].argmax(axis=1) == labels).mean())


def make(path: str | Path, opset: int = 17, batch: int | None = None) -> Path:
    """The path of the trained model as ONNX, opset 13..22, the lowest IR for it; batch None: any."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def value(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch or "N", *shape])

    ends = [value("image", 1, 8, 8)], [value("probabilities", 10)]
    weights = [numpy_helper.from_array(np.ascontiguousarray(a), k) for k, a in train().items()]
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        helper.make_graph(nodes(), "digits", *ends, weights),
        opset_imports=imports,
        ir_version=helper.find_min_ir_version_for(imports),
        producer_name="envctl-tests",
    )
    onnx.checker.check_model(model, full_check=True)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return Path(path)


def nodes() -> list[Any]:
    """The eight ONNX nodes, in order."""
    from onnx.helper import make_node as node

    around: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    return [
        node("Conv", ["image", "conv1.weight", "conv1.bias"], ["conv1"], name="conv1", **around),
        node("Relu", ["conv1"], ["relu1"], name="relu1"),
        node("Conv", ["relu1", "conv2.weight", "conv2.bias"], ["conv2"], name="conv2", **around),
        node("Relu", ["conv2"], ["relu2"], name="relu2"),
        node("MaxPool", ["relu2"], ["pool"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["pool"], ["flat"], name="flat", axis=1),
        node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], name="fc"),
        node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=1),
    ]


if __name__ == "__main__":
    print(make(sys.argv[1]), f"held-out accuracy {accuracy(train()):.3f}")
