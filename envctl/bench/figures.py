"""Latencies of rounds -> the figures of a cell, and whether they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from statistics import median
from typing import TypeAlias

from envctl.bench.document import Latency
from envctl.bench.warmup import head

CV_LIMIT = 0.05
KEPT = 500  # samples in a document
# the seconds of each inference in order, for each of the copies that ran at the same time
Round: TypeAlias = "Sequence[Sequence[float]]"


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie, between two of them in proportion (numpy's default)."""
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def variation(values: Sequence[float]) -> float:
    """The coefficient of variation: the sample's standard deviation by its mean. One value does not vary: infinite."""
    if len(values) < 2:
        return float("inf")
    mean = fsum(values) / len(values)
    return sqrt(fsum((each - mean) ** 2 for each in values) / (len(values) - 1)) / mean if mean else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Steady:
    """The last `count` rounds, how their medians vary, and whether that is little enough."""

    count: int
    cv: float
    stable: bool


def steady(medians: Sequence[float], wanted: int, limit: float = CV_LIMIT) -> Steady:
    """The last `wanted` rounds where they agree, else all there are: no others are picked out, for among many rounds
    some always agree."""
    last = medians[-wanted:]
    cv = variation(last)
    if len(last) == wanted and cv <= limit:
        return Steady(count=wanted, cv=cv, stable=True)
    return Steady(count=len(medians), cv=variation(medians), stable=False)


def thinned(values: Sequence[float], most: int = KEPT) -> tuple[float, ...]:
    """At most that many of the values, sorted and evenly taken, the least and the largest among them."""
    ordered = sorted(values)
    if len(ordered) <= most:
        return tuple(ordered)
    step = (len(ordered) - 1) / (most - 1)
    return tuple(ordered[round(index * step)] for index in range(most))


def trimmed(runs: Round) -> tuple[list[float], int]:
    """The inferences of a round without those in which the caches became warm again, and how many those were."""
    heads = [head(samples) for samples in runs]
    kept = [value for samples, skip in zip(runs, heads, strict=True) for value in samples[skip:]]
    return kept, sum(heads)


def round_median(runs: Round) -> float:
    """The median of a round."""
    return median(trimmed(runs)[0])


def latency(rounds: Sequence[Round], wanted: int, warmup: int, limit: float = CV_LIMIT) -> Latency:
    """The figures of all rounds; `warmup` inferences came before them."""
    kept = [trimmed(each) for each in rounds]
    medians = [median(values) for values, _ in kept]
    found = steady(medians, wanted, limit)
    last = kept[-found.count :]
    ordered = sorted(value for values, _ in last for value in values)
    return Latency(
        samples=thinned(ordered),
        count=len(ordered),
        min=ordered[0],
        median=percentile(ordered, 0.5),
        p90=percentile(ordered, 0.9),
        p99=percentile(ordered, 0.99),
        mean=fsum(ordered) / len(ordered),
        cv=found.cv,
        rounds=tuple(medians),
        steady=found.count,
        warmup=warmup,
        dropped=sum(skip for _, skip in last),
        stable=found.stable,
        because="" if found.stable else unsteady(found, limit),
    )


def together(rounds: Sequence[Round]) -> float:
    """Inferences a second of copies that ran at the same time: the median round's sum over the copies."""
    return median(sum(len(samples) / fsum(samples) for samples in runs) for runs in rounds)


def unsteady(found: Steady, limit: float) -> str:
    """Why a row is not stable, in words."""
    if found.count < 2:
        return "one round says nothing of how much rounds vary"
    return f"the medians of {found.count} rounds vary by {found.cv:.1%}, more than {limit:.0%}"
