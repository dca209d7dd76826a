"""The search for the best throughput on engines of known behaviour, and what noise comes to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from envctl.bench import noise
from envctl.bench.document import Point
from envctl.bench.saturation import Reach, best, next_point, throughput

Rate = Callable[[int, int], float | None]


def searched(rate: Rate, **reach: object) -> list[Point]:
    """All points that are tried of an engine that gives `rate(batch, concurrency)`."""
    limits = Reach(**{"batch": 1, "most_batch": 64, "most_concurrency": 16, "grows": True, **reach})  # type: ignore[arg-type]
    curve: list[Point] = []
    while point := next_point(curve, limits):
        assert len(curve) < 40, "the search does not end"
        curve.append(Point(batch=point[0], concurrency=point[1], per_s=rate(*point), because="no"))
    return curve


def places(curve: list[Point]) -> list[tuple[int, int]]:
    return [(point.batch, point.concurrency) for point in curve]


def test_an_engine_that_gains_by_both_is_followed_to_its_best() -> None:
    curve = searched(lambda batch, lanes: min(lanes, 4) * min(batch, 8) ** 0.5)
    top = best(curve)
    assert top and (top.batch, top.concurrency) == (8, 4)
    assert places(curve) == [(1, 1), (1, 2), (1, 4), (1, 8), (2, 4), (4, 4), (8, 4), (16, 4)]


def test_an_engine_that_gains_by_nothing_is_left_after_two_tries() -> None:
    assert places(searched(lambda batch, lanes: 100.0)) == [(1, 1), (1, 2), (2, 1)]


def test_a_fixed_batch_is_not_tried() -> None:
    assert places(searched(lambda batch, lanes: 100.0 * lanes, grows=False)) == [
        (1, 1),
        (1, 2),
        (1, 4),
        (1, 8),
        (1, 16),
    ]


def test_the_search_begins_at_the_cells_batch_and_keeps_its_limits() -> None:
    curve = searched(lambda batch, lanes: float(batch * lanes), batch=8, most_batch=16, most_concurrency=2)
    assert places(curve) == [(8, 1), (8, 2), (16, 2)]


def test_a_point_that_fails_ends_its_way_and_no_more() -> None:
    curve = searched(lambda batch, lanes: None if lanes > 1 else 10.0 * batch if batch <= 2 else None)
    assert places(curve) == [(1, 1), (1, 2), (2, 1), (4, 1)]
    found = throughput(curve)
    assert (found.per_s, found.batch, found.concurrency) == (20.0, 2, 1)


def test_where_nothing_worked_the_reason_is_told() -> None:
    found = throughput(searched(lambda batch, lanes: None))
    assert (found.per_s, found.because) == (None, "no")


BEFORE = "cpu  1000 10 200 5000 100 0 50 20 0 0\ncpu0 1 2 3\n"
AFTER = "cpu  1300 10 300 5500 150 0 60 60 0 0\ncpu0 1 2 3\n"


def test_foreign_work_is_what_is_neither_ours_nor_idle() -> None:
    seen = noise.turn(noise.read_cpu(BEFORE, 100), noise.read_cpu(AFTER, 100), own=3.0)
    assert seen.foreign == pytest.approx(4.1 - 3.0) and seen.stolen == pytest.approx(0.4)
    assert seen.available == pytest.approx(4.1 + 0.4 + 5.5)
    assert noise.shares([seen, seen]) == (pytest.approx(0.11), pytest.approx(0.04))
    assert noise.notes([seen]) == ["other work took more than 5% of the CPUs in 1 of 1 turns"]


def test_a_quiet_turn_needs_no_word() -> None:
    """A tick's error may make our own work more than there was: foreign work is never less than none."""
    quiet = noise.turn(noise.read_cpu(BEFORE, 100), noise.read_cpu(AFTER.replace(" 60 60 ", " 60 20 "), 100), own=4.2)
    assert quiet.share == 0.0 and noise.notes([quiet]) == []
    assert noise.shares([]) == (None, None)


def test_an_old_kernel_without_stolen_time_is_read_too() -> None:
    assert noise.read_cpu("cpu 100 0 50 1000\n", 100) == noise.Cpu(busy=1.5, idle=10.0, stolen=0.0)


def test_a_counter_that_began_again_goes_on() -> None:
    assert (noise.wrapped(5, 9, 10), noise.wrapped(9, 2, 10)) == (4, 3)
