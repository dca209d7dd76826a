"""How far two arrays lie apart, as one number that means the same for every tensor, and what is noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """What counts in a precision, in units of a tensor's largest absolute value: `parts` is where two tensors part, and
    `noise` the most that an honest node adds of its own."""

    parts: float
    noise: float


# `parts` are the limits of verify.tolerance (int8 has none there: a tenth of the scale). `noise` was measured with
# healthy models, layer for layer (docs/debug.md): float32's rounding over long sums, half a step of float16, bfloat16
# and int8 weights and activations, with room.
SCALES = {
    "fp32": Scale(parts=1e-4, noise=2e-5),
    "fp16": Scale(parts=2e-2, noise=5e-3),
    "bf16": Scale(parts=0.2, noise=3e-2),
    "int8": Scale(parts=0.1, noise=6e-2),
}


def error(reference: Array, target: Array) -> float:
    """The largest |target - reference| in units of the reference's largest absolute value.

    Infinite for another shape, and where one side alone is not a number; equal infinities differ by nothing.
    """
    import numpy as np

    if reference.shape != target.shape:
        return float("inf")
    largest, scale = 0.0, 0.0
    for before, after in zip(reference, target, strict=True):  # a sample at a time: the arrays may lie on disk
        a, b = np.asarray(before, np.float64), np.asarray(after, np.float64)
        with np.errstate(invalid="ignore"):
            apart = np.abs(b - a)
        apart[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
        apart[np.isnan(apart)] = np.inf
        largest = max(largest, float(apart.max(initial=0.0)))
        scale = max(scale, float(np.abs(a[np.isfinite(a)]).max(initial=0.0)))
    return largest / (scale or 1.0)


def worst_samples(reference: Array, target: Array, count: int) -> list[int]:
    """The samples that differ most, the worst first; the first ones where the shapes are others."""
    if reference.shape != target.shape:
        return list(range(min(count, len(reference))))
    apart = [error(reference[index : index + 1], target[index : index + 1]) for index in range(len(reference))]
    return sorted(range(len(apart)), key=lambda index: -apart[index])[:count]
