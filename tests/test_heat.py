"""Where two answers differ, as a grid."""

from __future__ import annotations

import numpy as np

from envctl.verify.heat import MOST, heat


def test_samples_and_values_are_the_grid_where_there_is_one_axis_of_places() -> None:
    before = np.zeros((3, 1, 5), np.float32)
    after = before.copy()
    after[2, 0, 4] = -0.5
    found = heat(before, after)
    assert found and (found.rows, found.cols) == (3, 5)
    assert [index for index, value in enumerate(found.values) if value] == [14] and found.values[14] == 0.5


def test_height_and_width_are_the_grid_of_images() -> None:
    before = np.zeros((2, 1, 4, 6, 8), np.float32)
    after = before.copy()
    after[1, 0, 3, 2, 5] = 2.0
    after[0, 0, 0, 2, 5] = 1.0
    found = heat(before, after)
    assert found and (found.rows, found.cols) == (6, 8)
    assert found.values[2 * 8 + 5] == 2.0 and sum(map(bool, found.values)) == 1


def test_large_outputs_shrink_and_lose_no_error() -> None:
    before = np.zeros((1, 1, 100, 333), np.float32)
    after = before.copy()
    after[0, 0, 99, 332] = 7.0
    after[0, 0, 0, 0] = 3.0
    found = heat(before, after)
    assert found and (found.rows, found.cols) == (MOST, MOST)
    assert (found.values[0], found.values[-1]) == (3.0, 7.0)


def test_what_is_no_number_on_one_side_is_infinite() -> None:
    before = np.array([[[1.0, np.nan, np.inf, 2.0]]])
    after = np.array([[[np.nan, np.nan, np.inf, 2.0]]])
    found = heat(before, after)
    assert found and found.values == (float("inf"), 0.0, 0.0, 0.0)


def test_other_shapes_have_no_grid() -> None:
    assert heat(np.zeros((1, 4)), np.zeros((1, 5))) is None
    assert heat(np.zeros((1, 0)), np.zeros((1, 0))) is None


def test_scalars_and_truth_values_have_one() -> None:
    found = heat(np.array([True, False]), np.array([True, True]))
    assert found and (found.rows, found.cols, found.values) == (2, 1, (0.0, 1.0))
