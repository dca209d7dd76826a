"""How sure the drop of a metric is: 95 % intervals for the difference of two answers to the same samples. Pure.

Shares of right answers: Newcombe's method 10 (Statistics in Medicine 17, 1998, 2635-2650), which joins Wilson's
intervals of both shares by their correlation: unlike a bootstrap it stays honest where no or few samples differ.
All else: the percentile bootstrap over samples, both answers of a sample drawn together (Efron and Tibshirani,
"An Introduction to the Bootstrap", 1993, chapters 13 and 16), from a fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

Interval = tuple[float, float]
Z = 1.959964  # of the normal distribution, 95 % between both sides
REPEATS, SEED, CHUNK = 2000, 0, 1 << 22
NEWCOMBE = "Newcombe 1998, method 10"
BOOTSTRAP = f"paired bootstrap of {REPEATS}, seed {SEED}"


def shares(both: int, first: int, second: int, neither: int) -> Interval:
    """The interval of (share right in the first) - (share right in the second), from the four counts of pairs."""
    count = both + first + second + neither
    one, two = (both + first) / count, (both + second) / count
    (low1, high1), (low2, high2) = wilson(both + first, count), wilson(both + second, count)
    joint = _correlation(both, first, second, neither)
    down = (one - low1) ** 2 - 2 * joint * (one - low1) * (high2 - two) + (high2 - two) ** 2
    up = (high1 - one) ** 2 - 2 * joint * (high1 - one) * (two - low2) + (two - low2) ** 2
    return (one - two - sqrt(max(down, 0.0)), one - two + sqrt(max(up, 0.0)))


def wilson(right: int, count: int) -> Interval:
    """Wilson's score interval of a share."""
    share, spread = right / count, Z * Z / count
    half = Z * sqrt(share * (1 - share) / count + spread / (4 * count))
    return ((share + spread / 2 - half) / (1 + spread), (share + spread / 2 + half) / (1 + spread))


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """The phi coefficient, corrected for continuity as the method wants it."""
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not product:
        return 0.0
    excess, half = float(both * neither - first * second), (both + first + second + neither) / 2
    if excess > 0:
        excess = max(excess - half, 0.0)
    return excess / sqrt(product)


def bootstrap(count: int, drop: Callable[[Array], Array]) -> Interval:
    """The interval of `drop`, which takes samples drawn again as [repeats, count] indices and gives a drop for each."""
    import numpy as np

    generator = np.random.default_rng(SEED)
    rows = max(1, CHUNK // count)
    drops = [
        drop(generator.integers(0, count, (min(rows, REPEATS - start), count))) for start in range(0, REPEATS, rows)
    ]
    low, high = np.quantile(np.concatenate(drops), (0.025, 0.975))
    return (float(low), float(high))
