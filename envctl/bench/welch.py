"""By how much two sets of rounds differ, and how sure that is: Welch's interval on the logarithms of their medians.

Logarithms make ratios into differences; Welch's form (Biometrika 34, 1947) asks for neither equal spreads nor equal
numbers of rounds. That rounds are repeated and not single inferences taken for independent is Kalibera and Jones's
"Rigorous benchmarking in reasonable time" (ISMM 2013): inferences of a round share what disturbs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum, inf, log, sqrt

# Student's t for 99 % between both sides, by degrees of freedom: tables of any textbook; a test draws them anew
CRITICAL = (
    (1, 63.657), (2, 9.925), (3, 5.841), (4, 4.604), (5, 4.032), (6, 3.707), (7, 3.499), (8, 3.355), (9, 3.250),
    (10, 3.169), (12, 3.055), (15, 2.947), (20, 2.845), (30, 2.750), (60, 2.660), (120, 2.617),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """New by old, with the ends of its 99 % interval."""

    value: float
    low: float
    high: float


def ratio(old: Sequence[float], new: Sequence[float]) -> Ratio:
    """How the new rounds' medians relate to the old ones; a single round on a side leaves everything open."""
    before, after = ([log(each) for each in rounds] for rounds in (old, new))
    apart = _mean(after) - _mean(before)
    if len(old) < 2 or len(new) < 2:
        return Ratio(value=exp(apart), low=0.0, high=inf)
    errors = [_variance(logs) / len(logs) for logs in (before, after)]
    total = sum(errors)
    if not total:
        return Ratio(value=exp(apart), low=exp(apart), high=exp(apart))
    parts = (error**2 / (len(logs) - 1) for error, logs in zip(errors, (before, after), strict=True))
    half = critical(total**2 / fsum(parts)) * sqrt(total)
    return Ratio(value=exp(apart), low=exp(apart - half), high=exp(apart + half))


def critical(freedom: float) -> float:
    """Student's t for the largest tabled number of degrees that is not above the given one: never too small."""
    return next(value for degrees, value in reversed(CRITICAL) if degrees <= max(freedom, 1.0))


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return fsum((each - mean) ** 2 for each in values) / (len(values) - 1)
