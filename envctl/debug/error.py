"""How far two arrays lie apart, as one number that means the same for every tensor, and what is noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


BLOCK = 1 << 20  # elements that are compared at a time: tensors may lie on disk, and be large


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """What counts in a precision: `parts` is where two tensors part, `noise` the most that an honest node adds of its
    own. With `whole` an error is that of the tensor as a whole, else that of its worst value."""

    parts: float
    noise: float
    whole: bool = False


# `parts` are the limits of verify.tolerance; int8 has none there. Its single values jump by steps that other engines
# round elsewhere, so a tensor is judged as a whole. `noise`: float32's lies above the largest
# error that healthy models piled up in a whole run but one (2.3e-5, docs/debug.md); the others are a step of the format
# or two. They are chosen, not measured.
SCALES = {
    "fp32": Scale(parts=1e-4, noise=2e-5),
    "fp16": Scale(parts=2e-2, noise=5e-3),
    "bf16": Scale(parts=0.2, noise=3e-2),
    "int8": Scale(parts=0.1, noise=6e-2, whole=True),
}


def error(reference: Array, target: Array, *, whole: bool = False) -> float:
    """The largest |target - reference| in units of the reference's largest absolute value; with `whole` the length of
    the difference in units of the reference's length.

    Infinite for another shape, and where one side alone is not a number; equal infinities differ by nothing.
    """
    if reference.shape != target.shape:
        return float("inf")
    largest = scale = apart = length = 0.0
    for a, b in _blocks(reference, target):
        difference, finite = _difference(a, b)
        largest, scale = max(largest, float(difference.max(initial=0.0))), max(scale, float(finite.max(initial=0.0)))
        apart, length = apart + float(difference @ difference), length + float(finite @ finite)
    if whole:
        return math.sqrt(apart) / (math.sqrt(length) or 1.0)
    return largest / (scale or 1.0)


def _blocks(reference: Array, target: Array) -> Iterator[tuple[Array, Array]]:
    for before, after in zip(reference, target, strict=True):
        a, b = before.reshape(-1), after.reshape(-1)
        for start in range(0, a.size, BLOCK):
            yield a[start : start + BLOCK], b[start : start + BLOCK]


def _difference(before: Array, after: Array) -> tuple[Array, Array]:
    """|after - before|, and |before| where that is finite, else 0."""
    import numpy as np

    a, b = before.astype(np.float64), after.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(b - a)
    apart[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
    apart[np.isnan(apart)] = np.inf
    return apart, np.where(np.isfinite(a), np.abs(a), 0.0)


def worst_samples(reference: Array, target: Array, count: int) -> list[int]:
    """The samples that differ most, the worst first; the first ones where the shapes are others."""
    if reference.shape != target.shape:
        return list(range(min(count, len(reference))))
    apart = [error(reference[index : index + 1], target[index : index + 1]) for index in range(len(reference))]
    return sorted(range(len(apart)), key=lambda index: -apart[index])[:count]
