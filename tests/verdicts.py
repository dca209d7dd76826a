"""Seeded answers of a classifier, and the verdict on two of them: shared by the tests of envctl.verify."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from envctl.verify.compare import Verdict, judge
from envctl.verify.response import Response
from envctl.verify.tolerance import FP32, ROWS, Tolerance

Array = np.ndarray[Any, np.dtype[Any]]
PROBES = ("zeros", "permuted", "another sample")
FP16, BF16, INT8 = ROWS["fp16"], ROWS["bf16"], ROWS["int8"]
MOVED = [Response(output="y", moved=dict.fromkeys(PROBES, 0.5))]


def scores(samples: int = 16, classes: int = 400) -> Array:
    """Seeded [samples,1,classes], largest value 1, the best class well ahead."""
    values = np.random.default_rng(0).uniform(-0.4, 0.4, (samples, 1, classes)).astype(np.float32)
    values[np.arange(samples), 0, np.arange(samples)] = 1.0
    return values


def verdict(reference: Array, target: Array, tolerance: Tolerance = FP32, moved: list[Response] = MOVED) -> Verdict:
    """The verdict on one output, y."""
    return judge({"y": reference}, {"y": target}, tolerance, moved)


def changed(row: Tolerance, **fields: float | None) -> Tolerance:
    """The row with some fields replaced."""
    return replace(row, **fields)
