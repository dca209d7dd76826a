"""Where the warm-up ends: found in the times themselves, not guessed.

Engines compile kernels, pick algorithms and touch memory in their first inferences, some for one, some for a thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

WINDOW = 5  # inferences whose median is one reading: a single interruption is no drift
CLOSE = 0.05
LEAST = 8  # inferences, below which nothing can be said


def warm_up(samples: Sequence[float]) -> int | None:
    """How many inferences came before the steady level; None while that is not reached.

    The level is the median of the last half, which is steady when its own two halves agree. The warm-up ends where
    the median of the next few inferences comes near it for the first time, and of those each slow one at the beginning.
    """
    if len(samples) < LEAST:
        return None
    half = len(samples) // 2
    tail = samples[half:]
    level, early, late = median(tail), median(tail[: len(tail) // 2]), median(tail[len(tail) // 2 :])
    if not _near(early, level) or not _near(late, level):
        return None
    width = min(WINDOW, len(samples) // 4)
    near = next((at for at in range(half) if _near(median(samples[at : at + width]), level)), half)
    return next((at for at in range(near, half) if samples[at] <= (1 + CLOSE) * level), half)


def head(samples: Sequence[float]) -> int:
    """How many inferences to leave out at the beginning of a later round; none where no steady level shows."""
    return warm_up(samples) or 0


def _near(value: float, level: float) -> bool:
    return abs(value - level) <= CLOSE * level
