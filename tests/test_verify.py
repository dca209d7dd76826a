"""The verdict: each limit breaks alone, nothing that is wrong passes, and what would have passed really passes."""

from __future__ import annotations

import numpy as np
import pytest

from envctl.verify.compare import Verdict, class_axis, difference, judge
from envctl.verify.tolerance import FP32, ROWS, Tolerance
from tests.verdicts import FP16, INT8, MOVED, scores, verdict


def only_failure(found: Verdict) -> str:
    """The one limit that broke."""
    assert found.status == "failed"
    assert found.worst is not None and len(found.worst.fails) == 1, found.reasons
    return found.worst.fails[0]


def test_equal_answers_pass() -> None:
    found = verdict(scores(), scores().copy())
    assert (found.status, found.reasons, found.would_pass) == ("passed", (), None)
    assert found.worst is not None
    assert (found.worst.max_abs, found.worst.cosine, found.worst.top1) == (0.0, pytest.approx(1.0), 1.0)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_an_error_just_inside_every_limit_passes(row: Tolerance) -> None:
    error = 0.9 * min(row.max_abs or 0.01, row.p999_abs or 0.01)
    target = scores()
    target[:, 0, 100:110] += error
    assert verdict(scores(), target, row).status == "passed"


def test_max_abs_breaks_alone() -> None:
    """One value of six thousand: beyond p99.9, too little for the cosine, not the best class."""
    target = scores()
    target[3, 0, 200] += 2e-4
    found = verdict(scores(), target)
    assert only_failure(found).startswith("max abs error 2.0")
    assert found.worst is not None and found.worst.where == (3, 0, 200)
    assert found.reasons[0].startswith("y: max abs error")


def test_p999_breaks_alone() -> None:
    """One value in four hundred: more than a thousandth of all, less than a hundredth."""
    target = scores()
    target[:, :, 300] += 5e-5
    assert only_failure(verdict(scores(), target)).startswith("p99.9 5.0")


def test_cosine_of_the_worst_sample_breaks_alone() -> None:
    """One sample of small values turned around: invisible in absolute errors, though all of it is wrong."""
    reference = np.tile([[1.0, 0.0]], (16, 1, 1))
    reference[5] = [[1e-6, 0]]
    target = reference.copy()
    target[5] = [[0, 1e-6]]
    assert only_failure(verdict(reference, target)).startswith("worst cosine 0.0")


def test_top1_breaks_alone() -> None:
    """int8 judges no absolute error: one wrong class in sixteen is what is left to see."""
    reference = scores()
    reference[7, 0, 399] = 0.9
    target = reference.copy()
    target[7, 0, 399] = 1.1
    assert only_failure(verdict(reference, target, INT8)) == "top-1 agreement 0.9375 < 0.98"


def test_dense_top1_has_a_limit_of_its_own() -> None:
    """[samples,1,classes,H,W] that sums to 1: three wrong pixels of a thousand pass 0.99, not 0.999."""
    first = np.full((1, 1, 1, 25, 40), 0.7)
    reference = np.concatenate([first, 1 - first], axis=2)
    target = reference.copy()
    target[0, 0, :, 0, :3] = [[0.4], [0.6]]
    row = Tolerance(precision="x", max_abs=None, p999_abs=None, cosine=0.5, top1=0.99, dense_top1=0.999)
    assert only_failure(verdict(reference, target, row)) == "top-1 agreement 0.9970 < 0.999"
    assert class_axis(reference) == 2
    assert class_axis(reference * 2) is None, "what does not sum to 1 holds no classes"


def test_a_tie_is_no_disagreement() -> None:
    """Two classes as good as equal may change places: which one is first says nothing."""
    reference = scores()
    reference[:, 0, 399] = 1.0 - 1e-6
    target = reference.copy()
    target[:, 0, 399] = 1.0 + 1e-6
    assert verdict(reference, target).status == "passed"
    found = difference("y", reference, target, INT8)
    assert found.top1 == 0.0, "without an absolute limit there is no width of a tie"


def test_scale_makes_limits_relative() -> None:
    """Logits of 100 and probabilities of 1e-4 are judged alike: by their largest value."""
    for factor in (100.0, 1.0, 1e-4):
        good, wrong = scores() * factor, scores() * factor
        wrong[3, 0, 200] += 2e-4 * factor
        assert verdict(good, scores() * factor + 5e-6 * factor).status == "passed"
        found = verdict(good, wrong)
        assert found.status == "failed"
        assert found.worst is not None and found.worst.scale == pytest.approx(factor)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_no_number_fails(value: float) -> None:
    target = scores()
    target[2, 0, 11] = value
    for row in ROWS.values():
        found = verdict(scores(), target, row)
        assert found.status == "failed"
        assert "1 values are NaN or infinite, and not the same on both sides" in found.reasons[0]
        assert found.would_pass is None


def test_all_nan_is_named() -> None:
    found = verdict(scores(), scores() * np.nan, INT8)
    assert found.status == "failed"
    assert "the target's output is all NaN" in found.reasons[0]


def test_infinities_where_the_reference_has_them_are_right() -> None:
    """Masked scores are -inf on purpose; their sign counts."""
    reference = scores()
    reference[:, 0, 300:] = -np.inf
    assert verdict(reference, reference.copy()).status == "passed"
    target = reference.copy()
    target[4, 0, 300] = np.inf
    for row in ROWS.values():
        assert verdict(reference, target, row).status == "failed"


def test_nan_where_the_reference_has_it_is_right() -> None:
    reference = scores()
    reference[:, 0, 300] = np.nan
    assert verdict(reference, reference.copy()).status == "passed"


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((16, 8, 8, 3), "the layout changed from [3, 8, 8] to [8, 8, 3]"),
        ((16, 3, 8, 9), "the shape changed from [3, 8, 8] to [3, 8, 9]"),
        ((16, 192), "the shape changed"),
        ((15, 3, 8, 8), "the shape changed"),
    ],
)
def test_a_changed_shape_or_layout_fails(shape: tuple[int, ...], words: str) -> None:
    found = verdict(np.ones((16, 3, 8, 8)), np.ones(shape), INT8)
    assert found.status == "failed"
    assert words in only_failure(found)
    assert found.would_pass is None


def test_a_missing_output_fails() -> None:
    found = judge({"a": scores(), "b": scores()}, {"a": scores()}, FP32, MOVED * 2)
    assert found.status == "failed"
    assert found.reasons == ("the reference has 2 outputs, the target 1",)


def test_every_output_is_judged_and_the_worst_is_shown() -> None:
    good = {"a": scores(), "b": scores(), "c": scores()}
    target = {name: array.copy() for name, array in good.items()}
    target["b"][0, 0, 100] += 0.5
    found = judge(good, target, FP32, MOVED * 3)
    assert [d.output for d in found.differences if d.fails] == ["b"]
    assert found.worst is not None and found.worst.output == "b"
    assert all(reason.startswith("b: ") for reason in found.reasons)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_])
def test_integer_outputs_are_compared_as_they_are(dtype: type) -> None:
    """Class numbers: 9 instead of 8 is as wrong as 1 instead of 8."""
    reference = np.random.default_rng(0).integers(0, 2 if dtype is np.bool_ else 100, (16, 1, 50)).astype(dtype)
    assert verdict(reference, reference.copy()).status == "passed"
    target = reference.copy()
    target[3, 0, 4] ^= 1
    found = verdict(reference, target)
    assert found.status == "failed"
    assert any("top-1 agreement 0.9988" in fail for fail in found.differences[0].fails)


def test_a_large_integer_off_by_one_fails_though_it_is_relatively_small() -> None:
    reference = np.full((4, 1, 8), 2**60, np.int64)
    target = reference.copy()
    target[1, 0, 1] += 1
    assert only_failure(verdict(reference, target)).startswith("top-1 agreement")


def test_half_precision_arrays_are_compared_in_float64() -> None:
    reference = scores().astype(np.float16)
    assert verdict(reference, reference.copy(), FP16).status == "passed"
    assert verdict(reference * np.float16(0.5), reference, FP16).status == "failed"


def test_an_all_zero_reference_that_moved_is_judged_absolutely() -> None:
    assert verdict(np.zeros((2, 1, 4)), np.zeros((2, 1, 4))).status == "passed"
    assert verdict(np.zeros((2, 1, 4)), np.full((2, 1, 4), 1e-3)).status == "failed"
