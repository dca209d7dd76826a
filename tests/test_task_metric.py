"""Metrics of a task and how sure their drop is: against numbers from papers, from scikit-learn, and by drawing."""

from __future__ import annotations

import numpy as np
import pytest

from envctl.errors import BadInput
from envctl.verify import interval, metric
from envctl.verify.metric import measured


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
    assert interval.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert interval.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_the_interval_of_paired_shares_is_symmetric_and_covers() -> None:
    low, high = interval.shares(20, 12, 2, 16)
    assert low < 0.2 < high
    back = interval.shares(20, 2, 12, 16)
    assert back == pytest.approx((-high, -low))
    draw = np.random.default_rng(1)
    for count, cells in ((100, (0.9, 0.03, 0.03, 0.04)), (30, (0.5, 0.2, 0.1, 0.2)), (1000, (0.75, 0.03, 0.02, 0.2))):
        pairs = (interval.shares(*map(int, drawn)) for drawn in draw.multinomial(count, cells, 2000))
        covered = sum(low <= cells[1] - cells[2] <= high for low, high in pairs)
        assert covered >= 0.93 * 2000


def test_two_answers_that_are_alike_are_not_called_alike_for_sure() -> None:
    low, high = interval.shares(98, 0, 0, 2)
    assert low < 0 < high
    assert high == pytest.approx(-low)
    wide, narrow = interval.shares(9, 0, 0, 1)[1], interval.shares(9000, 0, 0, 1000)[1]
    assert wide > 0.1 > narrow > 0


def test_top1_counts_pairs_in_batches_and_class_numbers_too() -> None:
    labels = np.array([0, 1, 2, 1])
    good = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]].reshape(2, 2, 3)
    bad = np.eye(3, dtype=np.float32)[[0, 1, 0, 0]].reshape(2, 2, 3)
    found = measured("top1", good, bad, labels)
    assert (found.reference, found.target, found.drop, found.samples) == (1.0, 0.5, 0.5, 4)
    assert found.low < 0.5 < found.high
    numbers = measured("top1", np.array([0, 1, 2, 1]).reshape(4, 1), bad, labels)
    assert numbers.reference == 1.0


def test_miou_is_scikit_learns_and_ignores_pixels_without_a_class() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(2)
    labels = draw.integers(0, 4, (12, 8, 6))
    labels[:, 0, 0] = metric.IGNORED
    right = np.where(labels == metric.IGNORED, 0, labels)
    noisy = np.where(draw.random(labels.shape) < 0.3, draw.integers(0, 4, labels.shape), right)
    scores = np.eye(4, dtype=np.float32)[noisy]  # [12, 8, 6, 4]: channels last
    found = measured("miou", right[:, None], scores.transpose(0, 3, 1, 2), labels)
    seen = labels != metric.IGNORED
    assert found.reference == 1.0
    assert found.target == pytest.approx(metrics.jaccard_score(labels[seen], noisy[seen], average="macro"))
    assert found.low < found.drop < found.high
    assert found.low > 0, "12 images with a third of their pixels wrong are enough to be sure"
    last = measured("miou", right[:, None], scores[:, None], labels)
    assert last.target == found.target


def test_cosines_are_means_and_the_bootstrap_is_the_same_every_time() -> None:
    draw = np.random.default_rng(3)
    labels = draw.standard_normal((40, 8)).astype(np.float32)
    worse = labels + draw.standard_normal(labels.shape).astype(np.float32) * 0.2
    found = measured("cosine", labels[:, None], worse[:, None], labels)
    assert found.reference == pytest.approx(1.0)
    expected = np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(worse, labels, strict=True)])
    assert found.target == pytest.approx(float(expected))
    assert found == measured("cosine", labels[:, None], worse[:, None], labels)
    zeros = measured("cosine", labels[:, None] * 0, labels[:, None], labels)
    assert zeros.reference == 0.0


def test_the_bootstrap_covers_a_mean() -> None:
    draw = np.random.default_rng(4)
    covered = 0
    for _ in range(150):
        reference = draw.normal(0.8, 0.1, 60)
        found = metric.of_scores("f1", reference, reference - draw.normal(0.05, 0.1, 60))
        covered += found.low <= 0.05 <= found.high
    assert covered >= 0.88 * 150


@pytest.mark.parametrize(
    ("name", "answers", "labels", "said"),
    [
        ("top1", (4, 1, 3), np.array([0, 1, 2]), "3 labels for an output of shape 4x1x3"),
        ("top1", (3, 1, 3), np.array([0, 1, 3]), "labels go from 0 to 3, the output has 3 classes"),
        ("top1", (3, 1, 3), np.array([0.0, 1.0, 2.0]), "top1 wants a whole number for each sample"),
        ("miou", (3, 1, 4, 5, 5), np.zeros((3, 6, 5), int), "labels of 6x5 pixels for an output of [4, 5, 5]"),
        ("miou", (3, 1, 4, 5, 5), np.full((3, 5, 5), 255), "no pixel has a class"),
        ("cosine", (3, 1, 4), np.zeros((3, 5)), "labels of 5 values for an output of 4"),
    ],
)
def test_labels_that_do_not_fit_are_one_error(
    name: str, answers: tuple[int, ...], labels: metric.Array, said: str
) -> None:
    array = np.zeros(answers, np.float32)
    with pytest.raises(BadInput, match="labels do not fit") as error:
        measured(name, array, array, labels)
    assert said in error.value.because[0].text


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(BadInput):
        metric.of_scores("f1", np.array([1.0, np.nan]), np.array([1.0, 1.0]))
    with pytest.raises(BadInput):
        metric.of_scores("f1", np.ones((2, 2)), np.ones((2, 2)))
