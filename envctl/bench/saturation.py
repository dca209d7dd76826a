"""The search for the best throughput: how many inferences at once, then how large a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envctl.bench.document import Point, Throughput

GAIN = 1.05  # what the next point must be better by, for the search to go on that way


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """Where the search begins, and how far it may go. `grows`: the model takes other batches than that."""

    batch: int
    most_batch: int
    most_concurrency: int
    grows: bool


def next_point(curve: Sequence[Point], reach: Reach) -> tuple[int, int] | None:
    """(batch, concurrency) to try next; None when the search is over. Concurrency is doubled for as long as that helps,
    then the batch, at the best concurrency."""
    if not curve:
        return reach.batch, 1
    first = [point for point in curve if point.batch == reach.batch]
    if len(first) == len(curve) and _helped(first):
        wider = first[-1].concurrency * 2
        if wider <= reach.most_concurrency:
            return reach.batch, wider
    return _larger(curve, reach)


def _larger(curve: Sequence[Point], reach: Reach) -> tuple[int, int] | None:
    top = best(curve)
    if top is None or not reach.grows:
        return None
    grown = [point for point in curve if point.batch > reach.batch]
    if grown and not _helped(curve):
        return None
    larger = (grown[-1].batch if grown else reach.batch) * 2
    return (larger, top.concurrency) if larger <= reach.most_batch else None


def _helped(points: Sequence[Point]) -> bool:
    """Whether the last point is better than the ones before it by enough to go on."""
    last = points[-1].per_s
    if last is None:
        return False
    before = [point.per_s for point in points[:-1] if point.per_s is not None]
    return not before or last >= GAIN * max(before)


def best(curve: Sequence[Point]) -> Point | None:
    """The point of most samples a second; of equal ones the first, which is the smaller."""
    worked = [point for point in curve if point.per_s is not None]
    return max(worked, key=lambda point: point.per_s or 0.0) if worked else None


def throughput(curve: Sequence[Point], because: str = "") -> Throughput:
    """The best point of a curve, and the curve."""
    top = best(curve)
    if top is None:
        why = because or next((point.because for point in curve if point.because), "nothing was measured")
        return Throughput(per_s=None, batch=None, concurrency=None, curve=tuple(curve), because=why)
    return Throughput(
        per_s=top.per_s, batch=top.batch, concurrency=top.concurrency, curve=tuple(curve), because=because
    )
