"""How a cell's times are spread: a small density for each on one axis, with its quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envctl.bench.document import Latency
from envctl.page.axis import Axis, around, round_values
from envctl.page.figures import seconds
from envctl.page.rows import Row
from envctl.page.scatter import Tick

BINS, TALL, WIDE = 160, 32, 1000
KERNEL = (1, 3, 5, 3, 1)  # smooths the counts of neighbouring bins


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """A cell's times: `path` fills a box of WIDE x TALL, the rest are places in percent; `beyond` times are slower than
    the axis is long."""

    row: Row
    path: str
    median: float
    p90: float
    p99: float
    rounds: tuple[float, ...]
    beyond: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Spreads:
    """The cells of a group on one axis."""

    title: str
    spreads: tuple[Spread, ...]
    ticks: tuple[Tick, ...]


def spreads(groups: Sequence[tuple[str, tuple[Row, ...]]]) -> tuple[Spreads, ...]:
    """A drawing for each group in which something was timed."""
    timed = [(title, [(row, row.cell.latency) for row in rows if row.cell.latency]) for title, rows in groups]
    return tuple(_group(title, pairs) for title, pairs in timed if pairs)


def _group(title: str, pairs: Sequence[tuple[Row, Latency]]) -> Spreads:
    axis = around(time for _, latency in pairs for time in (latency.min, latency.p99))
    ticks = tuple(Tick(at=axis.at(value), text=seconds(value)) for value in round_values(axis, 5))
    return Spreads(title=title, spreads=tuple(_spread(row, latency, axis) for row, latency in pairs), ticks=ticks)


def _spread(row: Row, latency: Latency, axis: Axis) -> Spread:
    return Spread(
        row=row,
        path=outline(latency.samples, axis),
        median=axis.at(latency.median),
        p90=axis.at(latency.p90),
        p99=axis.at(latency.p99),
        rounds=tuple(axis.at(min(max(time, axis.low), axis.high)) for time in latency.rounds),
        beyond=sum(time > axis.high for time in latency.samples),
    )


def outline(times: Sequence[float], axis: Axis) -> str:
    """The path around a density of the times; empty without any."""
    counts = [0] * BINS
    for time in times:
        if axis.low <= time <= axis.high:
            counts[min(BINS - 1, int(axis.at(time) / 100 * BINS))] += 1
    smooth = [_around(counts, index) for index in range(BINS)]
    most = max(smooth)
    if not most:
        return ""
    first, last = (next(i for i in order if smooth[i]) for order in (range(BINS), range(BINS - 1, -1, -1)))
    step = WIDE / BINS
    points = [f"{(i + 0.5) * step:.1f} {TALL - smooth[i] / most * (TALL - 2):.1f}" for i in range(first, last + 1)]
    return f"M{first * step:.1f} {TALL}L{'L'.join(points)}L{(last + 1) * step:.1f} {TALL}z"


def _around(counts: Sequence[int], index: int) -> int:
    half = len(KERNEL) // 2
    near = range(max(0, index - half), min(len(counts), index + half + 1))
    return sum(KERNEL[half + other - index] * counts[other] for other in near)
