"""Two runs on the same inputs -> per-tensor differences -> a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Context
from math import isnan
from typing import TYPE_CHECKING, Any, Literal

from envctl.verify.response import Response
from envctl.verify.tolerance import Tolerance

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

VerdictStatus = Literal["passed", "failed", "refused"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One output tensor: errors in its own units, its scale, and what fails (empty: within the tolerance).

    `max_abs` and `p999_abs` are the largest and the 99.9th percentile of |target - reference|; `cosine` is the worst
    sample's; `top1` the share of equal arg-max outside ties, None where no axis holds classes.
    """

    output: str
    shape: tuple[int, ...]
    scale: float
    max_abs: float
    p999_abs: float
    cosine: float
    top1: float | None
    where: tuple[int, ...]
    fails: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the comparison came to. `would_pass` is the smallest --atol that turns a failure into a pass, where one
    does: with two digits (`rounded_up`) it was tried."""

    status: VerdictStatus
    reasons: tuple[str, ...]
    differences: tuple[Difference, ...]
    tolerance: Tolerance
    would_pass: float | None = None

    @property
    def worst(self) -> Difference | None:
        """The tensor with the largest error for its scale."""
        return max(self.differences, key=lambda d: (len(d.fails), relative(d)), default=None)


def relative(difference: Difference) -> float:
    """The largest error in units of the output's scale; not-a-number counts as infinite."""
    ratio = difference.max_abs / difference.scale if difference.scale else difference.max_abs
    return float("inf") if isnan(ratio) else ratio


def judge(
    reference: Mapping[str, Array],
    target: Mapping[str, Array],
    tolerance: Tolerance,
    responses: list[Response],
) -> Verdict:
    """The verdict on `target` ([samples, ...] an output, in the reference's order) by a precision's tolerance."""
    verdict = _verdict(reference, target, tolerance, responses)
    if verdict.status != "failed" or tolerance.max_abs is None:
        return verdict
    atol = max((relative(d) for d in verdict.differences), default=float("inf"))
    wider = tolerance.overridden(rounded_up(atol), None, None)
    helps = _verdict(reference, target, wider, responses).status == "passed"
    return replace(verdict, would_pass=atol if helps else None)


def rounded_up(value: float) -> float:
    """The value with two digits, never below itself: a tolerance that is printed must really pass."""
    nearest = float(f"{value:.1e}")
    return nearest if nearest >= value else float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(value))


def _verdict(
    reference: Mapping[str, Array], target: Mapping[str, Array], tolerance: Tolerance, responses: list[Response]
) -> Verdict:
    refusals = _refusals(reference, tolerance, responses)
    if refusals:
        return Verdict(status="refused", reasons=tuple(refusals), differences=(), tolerance=tolerance)
    if len(reference) != len(target):
        reason = f"the reference has {len(reference)} outputs, the target {len(target)}"
        return Verdict(status="failed", reasons=(reason,), differences=(), tolerance=tolerance)
    pairs = zip(reference.items(), target.values(), strict=True)
    differences = tuple(difference(name, before, after, tolerance) for (name, before), after in pairs)
    reasons = tuple(f"{d.output}: {'; '.join(d.fails)}" for d in differences if d.fails)
    status: VerdictStatus = "failed" if reasons else "passed"
    return Verdict(status=status, reasons=reasons, differences=differences, tolerance=tolerance)


def _refusals(reference: Mapping[str, Array], tolerance: Tolerance, responses: list[Response]) -> list[str]:
    """Why the reference proves nothing: it is not a number, or no output of it responds to the input."""
    import numpy as np

    reasons = [f"the reference's output {n} is all NaN" for n, a in reference.items() if _all_nan(np.asarray(a))]
    if not reasons and not all(response.moved for response in responses):
        reasons.append("the inputs cannot show whether the reference responds to them: they are all alike")
    if not reasons and all(response.unmoved(tolerance) for response in responses):
        for response in responses:
            unmoved = response.unmoved(tolerance)
            moved = ", ".join(f"{probe} {response.moved[probe]:.1e}" for probe in unmoved)
            reasons.append(f"the reference's output {response.output} does not respond to its input ({moved})")
    return reasons


def _all_nan(array: Array) -> bool:
    import numpy as np

    return bool(array.size) and array.dtype.kind == "f" and bool(np.isnan(array).all())


def difference(name: str, reference: Array, target: Array, tolerance: Tolerance) -> Difference:
    """How one output differs, and which limits that breaks."""
    import numpy as np

    if reference.shape != target.shape:
        return _reshaped(name, reference.shape, target.shape)
    before, after = np.asarray(reference, np.float64), np.asarray(target, np.float64)
    error = _errors(before, after)
    scale = _scale(before)
    at = np.unravel_index(int(np.argmax(error)), error.shape) if error.size else ()
    with np.errstate(invalid="ignore"):  # between two infinities there is nothing
        p999 = float(np.quantile(error, 0.999)) if error.size else 0.0
    measured = Difference(
        output=name,
        shape=reference.shape[1:],
        scale=scale,
        max_abs=float(error.max(initial=0.0)),
        p999_abs=p999,
        cosine=_worst_cosine(before, after),
        top1=_top1(reference, target, 2 * (tolerance.max_abs or 0) * scale),
        where=tuple(int(index) for index in at),
        fails=(),
    )
    return _judged(measured, tolerance, _nan_trouble(error, after))


def _errors(before: Array, after: Array) -> Array:
    """|after - before|; equal infinities differ by nothing, a NaN on one side only by infinity."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        error: Array = np.abs(after - before)
    error[(before == after) | (np.isnan(before) & np.isnan(after))] = 0.0
    error[np.isnan(error)] = np.inf
    return error


def _scale(values: Array) -> float:
    """The largest finite absolute value."""
    import numpy as np

    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0


def _nan_trouble(error: Array, after: Array) -> list[str]:
    import numpy as np

    if after.size and np.isnan(after).all():
        return ["the target's output is all NaN"]
    count = int(np.isinf(error).sum())
    return [f"{count} values are NaN or infinite, and not the same on both sides"] if count else []


def _worst_cosine(before: Array, after: Array) -> float:
    """The smallest cosine between the finite values of two answers to one sample; two zero vectors agree."""
    import numpy as np

    finite = np.isfinite(before) & np.isfinite(after)
    a, b = (np.where(finite, values, 0.0).reshape(len(values), -1) for values in (before, after))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.where(norms > 0, (a * b).sum(axis=1) / norms, (a == b).all(axis=1))
    return float(cosine.min(initial=1.0))


def _top1(reference: Array, target: Array, tie: float) -> float | None:
    """The share of equal arg-max among places whose best two reference values lie more than `tie` apart.

    Integer outputs (class numbers, say) are compared as they are.
    """
    import numpy as np

    if reference.dtype.kind in "iub":
        return float((reference == target).mean()) if reference.size else None
    axis = class_axis(reference)
    if axis is None:
        return None
    best = np.sort(reference, axis=axis)
    margin = np.take(best, -1, axis=axis) - np.take(best, -2, axis=axis)
    clear = margin > tie
    same = np.argmax(reference, axis=axis) == np.argmax(target, axis=axis)
    return float(same[clear].mean()) if clear.any() else None


def class_axis(array: Array) -> int | None:
    """The axis that holds classes: the last of a [samples, batch, classes] output, else one that sums to 1."""
    import numpy as np

    if array.ndim == 3 and array.shape[-1] > 1:
        return 2
    for axis in range(array.ndim - 1, 1, -1):
        if array.shape[axis] > 1 and array.min() >= 0 and np.allclose(array.sum(axis=axis), 1.0, atol=1e-2):
            return axis
    return None


def _judged(measured: Difference, tolerance: Tolerance, fails: list[str]) -> Difference:
    limits = (
        ("max abs error", measured.max_abs, tolerance.max_abs),
        ("p99.9", measured.p999_abs, tolerance.p999_abs),
    )
    for what, value, limit in limits:
        if limit is not None and not value <= limit * measured.scale:
            fails.append(f"{what} {value:.2e} > {limit:g} x scale {measured.scale:.3g}")
    if not measured.cosine >= tolerance.cosine:
        fails.append(f"worst cosine {measured.cosine:.6f} < {tolerance.cosine:g}")
    least = tolerance.dense_top1 if len(measured.shape) > 2 else tolerance.top1
    if measured.top1 is not None and not measured.top1 >= least:
        fails.append(f"top-1 agreement {measured.top1:.4f} < {least:g}")
    return replace(measured, fails=tuple(fails))


def _reshaped(name: str, before: tuple[int, ...], after: tuple[int, ...]) -> Difference:
    """A changed shape; the same numbers in another order are called a changed layout."""
    what = "layout" if sorted(before) == sorted(after) else "shape"
    fail = f"the {what} changed from {list(before[1:])} to {list(after[1:])}"
    infinite = float("inf")
    return Difference(
        output=name, shape=before[1:], scale=1.0, max_abs=infinite, p999_abs=infinite, cosine=0.0, top1=None,
        where=(), fails=(fail,),
    )  # fmt: skip
