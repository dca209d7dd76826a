"""The tolerance that would have passed really passes; the user's limits replace the row's."""

from __future__ import annotations

import numpy as np
import pytest

from envctl.verify.compare import judge, relative, rounded_up
from envctl.verify.tolerance import FP32, Tolerance
from tests.verdicts import BF16, FP16, INT8, MOVED, Array, changed, scores, verdict


def failing(seed: int) -> tuple[dict[str, Array], dict[str, Array], Tolerance]:
    """Two outputs that break the absolute limits by a random amount."""
    random = np.random.default_rng(seed)
    reference = {"a": scores() * 10 ** random.uniform(-3, 3), "b": random.standard_normal((16, 5, 7))}
    size = 10 ** random.uniform(-3.5, -2.6)
    target = {name: a + random.uniform(-1, 1, a.shape) * size * np.abs(a).max() for name, a in reference.items()}
    return reference, target, changed(FP32, cosine=0.9)


@pytest.mark.parametrize("seed", range(40))
def test_what_would_pass_really_passes_and_a_little_less_does_not(seed: int) -> None:
    reference, target, row = failing(seed)
    found = judge(reference, target, row, MOVED * 2)
    assert found.status == "failed" and found.would_pass is not None
    assert (
        judge(reference, target, row.overridden(rounded_up(found.would_pass), None, None), MOVED * 2).status == "passed"
    )
    smallest = max(relative(difference) for difference in found.differences)
    less = row.overridden(smallest * (1 - 1e-9), None, None)
    assert judge(reference, target, less, MOVED * 2).status == "failed"
    assert found.would_pass == smallest


def test_what_would_pass_is_not_promised_where_it_would_be_refused() -> None:
    """An error as large as the answers' own movement: with so wide a limit nothing could be told apart."""
    reference = np.random.default_rng(0).uniform(0.5, 1, (16, 1, 3))
    target = reference + np.random.default_rng(1).uniform(-1, 1, reference.shape) * 0.3
    row = changed(FP32, cosine=0.1)
    found = verdict(reference, target, row)
    assert (found.status, found.would_pass) == ("failed", None)
    wide = row.overridden(rounded_up(max(relative(d) for d in found.differences)), None, None)
    assert verdict(reference, target, wide).status == "refused"


@pytest.mark.parametrize("row", [FP32, INT8], ids=["cosine", "top-1"])
def test_what_an_absolute_limit_cannot_mend_is_not_promised(row: Tolerance) -> None:
    target = -scores() if row is FP32 else np.roll(scores(), 1, axis=2)
    found = verdict(scores(), target, row)
    assert (found.status, found.would_pass) == ("failed", None)


@pytest.mark.parametrize("value", [1e-4, 1.1e-4, 0.00123, 9.99e-7, 0.5, 1.0, 12.34, 3.0000001e-5, 1.1 + 2**-52, 0.0])
def test_rounding_goes_up_to_two_digits(value: float) -> None:
    """Never below the value, not by the last bit: what is printed is typed in again."""
    rounded = rounded_up(value)
    assert value <= rounded <= value * 1.1
    assert float(f"{rounded:.1e}") == rounded == rounded_up(rounded)


def test_rounding_keeps_infinity() -> None:
    assert rounded_up(float("inf")) == float("inf")


@pytest.mark.parametrize(("field", "value"), [("atol", 0.0), ("cosine", 1.0), ("top1", 1.0)])
def test_a_limit_of_the_user_replaces_the_row_s(field: str, value: float) -> None:
    """0 is a limit, not "none given"."""
    row = BF16.overridden(**{"atol": None, "cosine": None, "top1": None, field: value})
    changed = {"atol": {"max_abs", "p999_abs"}, "cosine": {"cosine"}, "top1": {"top1", "dense_top1"}}[field]
    for name in Tolerance.__dataclass_fields__:
        assert getattr(row, name) == (value if name in changed else getattr(BF16, name))


def test_rows_are_ordered_by_precision() -> None:
    assert FP32.max_abs and FP16.max_abs and BF16.max_abs
    assert FP32.max_abs < FP16.max_abs < BF16.max_abs
    assert FP32.cosine > FP16.cosine > BF16.cosine > INT8.cosine
