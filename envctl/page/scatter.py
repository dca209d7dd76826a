"""Accuracy against latency: a drawing for each group of cells that did the same work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log10

from envctl.page.axis import FULL, Axis, around, decades, round_values
from envctl.page.figures import seconds
from envctl.page.front import Line, front, stairs
from envctl.page.labels import Label, place
from envctl.page.rows import Row

TOP, EXACT, FLOOR = 4.0, 96.0, 88.0  # percent of the height: infinite errors, exact answers, the least other error
WIDE, NARROW, HEIGHT = 580, 300, 400  # pixels that labels are placed for: the least that the drawing has


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A cell as a point: places in percent, its labels for wide and narrow screens, whether nothing beats it."""

    row: Row
    x: float
    y: float
    shape: str
    on_front: bool
    wide: Label
    narrow: Label


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A place on an axis, in percent, and its text."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Scatter:
    """Everything to draw. `front` are lines (x1, y1, x2, y2)."""

    title: str
    batch: int
    marks: tuple[Mark, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    front: tuple[Line, ...]


def scatters(groups: Sequence[tuple[str, tuple[Row, ...]]], shapes: dict[str, str]) -> tuple[Scatter, ...]:
    """A drawing for each group in which something was both timed and compared."""
    drawn = [(title, tuple(row for row in rows if row.latency and row.error is not None)) for title, rows in groups]
    return tuple(_scatter(title, rows, shapes) for title, rows in drawn if rows)


def _scatter(title: str, rows: tuple[Row, ...], shapes: dict[str, str]) -> Scatter:
    across = around((row.latency or 0 for row in rows), start=3, end=FULL - 3)
    errors = [row.error for row in rows if row.error and isfinite(row.error)]
    exact, infinite = (any(row.error == value for row in rows) for value in (0.0, float("inf")))
    up = decades(errors, start=FLOOR if exact else EXACT, end=TOP + (8 if infinite else 0))
    places = {row.number: (across.at(row.latency or 1), _height(row.error or 0.0, up)) for row in rows}
    best = front((row.latency or 0, row.error or 0.0) for row in rows if row.passed)
    on_front = {row.number for row in rows if row.passed and (row.latency, row.error) in best}
    lines = stairs(sorted({places[number] for number in on_front}), 0.0, FULL)
    return Scatter(
        title=title,
        batch=rows[0].cell.batch,
        marks=_marks(rows, places, on_front, lines, shapes),
        across=tuple(Tick(at=across.at(value), text=seconds(value)) for value in round_values(across, 5)),
        up=tuple(_levels(up, exact, infinite)),
        front=tuple(lines),
    )


def _levels(axis: Axis, exact: bool, infinite: bool) -> list[Tick]:
    ticks = [Tick(at=axis.at(value), text=f"{value:.0e}".replace("e-0", "e-")) for value in _powers(axis)]
    return [*ticks, *[Tick(at=EXACT, text="exact")] * exact, *[Tick(at=TOP, text="infinite")] * infinite]


def _powers(axis: Axis) -> list[float]:
    """Powers of ten on the axis, seven at most."""
    low, high = round(log10(axis.low)), round(log10(axis.high))
    return [10.0**power for power in range(low, high + 1, -(-(high - low + 1) // 7))]


def _height(error: float, axis: Axis) -> float:
    if not error:
        return EXACT
    return axis.at(error) if isfinite(error) else TOP


def _marks(
    rows: tuple[Row, ...],
    places: dict[int, tuple[float, float]],
    on_front: set[int],
    lines: list[Line],
    shapes: dict[str, str],
) -> tuple[Mark, ...]:
    """The marks with their labels; the front's are placed first, as they matter most."""
    order = sorted(rows, key=lambda row: (row.number not in on_front, not row.passed, row.number))
    points = [places[row.number] for row in order]
    wide = place(
        [(*point, (row.short, str(row.number))) for point, row in zip(points, order, strict=True)], lines, WIDE, HEIGHT
    )
    narrow = place(
        [(*point, (str(row.number),)) for point, row in zip(points, order, strict=True)], lines, NARROW, HEIGHT
    )
    return tuple(
        Mark(
            row=row,
            x=x,
            y=y,
            shape=shapes[row.cell.engine],
            on_front=row.number in on_front,
            wide=label,
            narrow=short,
        )
        for row, (x, y), label, short in zip(order, points, wide, narrow, strict=True)
    )
