"""Percentiles, variation, steady rounds, the end of a warm-up: against numpy, and on times of known shape."""

from __future__ import annotations

import random

import numpy as np
import pytest

from envctl.bench import figures
from envctl.bench.warmup import head, warm_up


def noisy(level: float, count: int, seed: int, spread: float = 0.01) -> list[float]:
    draw = random.Random(seed)
    return [level * (1 + spread * draw.random()) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 997])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.99, 1.0])
def test_percentiles_are_numpys(count: int, share: float) -> None:
    values = sorted(noisy(1.0, count, count, 3.0))
    assert figures.percentile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-12)


def test_variation_is_numpys() -> None:
    values = noisy(1.0, 50, 1, 0.5)
    assert figures.variation(values) == pytest.approx(float(np.std(values, ddof=1) / np.mean(values)))
    assert figures.variation([1.0]) == float("inf")


def test_only_the_last_rounds_count() -> None:
    """Among many rounds some always agree: an agreement in the middle is none."""
    assert figures.steady([1.0, 1.0, 1.0, 2.0, 3.0], 3).stable is False
    found = figures.steady([9.0, 2.0, 1.0, 1.01, 1.02], 3)
    assert (found.stable, found.count) == (True, 3)
    assert figures.steady([1.0, 1.0], 3).stable is False


def test_an_unsteady_cell_is_told_by_all_its_rounds() -> None:
    rounds = [[noisy(level, 40, 1)] for level in (1.0, 1.5, 1.0, 1.6)]
    told = figures.latency(rounds, 3, warmup=4)
    assert not told.stable and told.steady == 4 and told.count == 160
    assert "4 rounds vary by" in told.because and told.cv > figures.CV_LIMIT


def test_a_steady_cell_is_told_by_its_last_rounds() -> None:
    rounds = [[noisy(5.0, 40, 0)], *([noisy(1.0, 40, seed)] for seed in (1, 2, 3))]
    told = figures.latency(rounds, 3, warmup=7)
    assert told.stable and told.steady == 3 and told.count == 120
    assert told.min <= told.median <= told.p90 <= told.p99 < 1.02
    assert len(told.rounds) == 4 and told.warmup == 7 and told.because == ""


def test_cold_caches_at_the_beginning_of_a_round_are_left_out() -> None:
    rounds = [[[4.0, 3.0, 2.0, *noisy(1.0, 60, seed)]] for seed in (1, 2, 3)]
    told = figures.latency(rounds, 3, warmup=0)
    assert told.dropped >= 6 and told.p99 < 1.5


def test_copies_keep_their_own_beginnings() -> None:
    """Two copies at once: each has its cold start, the second's is not in the middle of a series."""
    one = [9.0, *noisy(1.0, 40, 1)]
    told = figures.latency([[one, one], [one, one]], 2, warmup=0)
    assert told.dropped == 4 and told.count == 160
    assert figures.together([[[0.5] * 4, [0.25] * 4]]) == pytest.approx(6.0)


def test_samples_are_thinned_evenly_with_both_ends() -> None:
    kept = figures.thinned([float(value) for value in range(10_000, 0, -1)])
    assert len(kept) == figures.KEPT and (kept[0], kept[-1]) == (1.0, 10_000.0)
    assert np.median(kept) == pytest.approx(5000, rel=0.01)
    assert figures.thinned([3.0, 1.0]) == (1.0, 3.0)


@pytest.mark.parametrize("slow", [0, 1, 7, 100])
def test_the_warm_up_ends_where_the_times_become_steady(slow: int) -> None:
    times = [3.0 - index / slow for index in range(slow)] + noisy(1.0, 300, slow)
    found = warm_up(times)
    assert found is not None and abs(found - slow) <= 3


def test_times_that_still_fall_have_no_end_of_the_warm_up() -> None:
    assert warm_up([1000.0 / (index + 10) for index in range(200)]) is None
    assert warm_up([1.0] * 7) is None
    assert head([1000.0 / (index + 10) for index in range(200)]) == 0


def test_one_interruption_is_no_drift() -> None:
    times = noisy(1.0, 100, 3)
    times[40] = times[90] = 50.0
    assert warm_up(times) == 0
