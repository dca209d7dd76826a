"""Memory, time to load, sizes and throughput as bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envctl.page.figures import rate, seconds, size
from envctl.page.rows import Row

Figure = Callable[[Row], "float | None"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A cell's bar: filled up to `full`, hatched from there to `whole`, in percent."""

    row: Row
    full: float
    whole: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Bars of one figure from zero; `full` and `hatched` name the parts."""

    title: str
    full: str
    hatched: str
    bars: tuple[Bar, ...]


def panels(rows: tuple[Row, ...]) -> tuple[Panel, ...]:
    """A panel for each figure that any cell has."""
    found = (
        _panel(rows, "Memory of the process", ("steady", "more at its peak"), _steady, lambda row: row.memory, size),
        _panel(rows, "Throughput", ("", ""), lambda row: row.throughput, lambda row: row.throughput, rate),
        _panel(rows, "Time to load", ("import", "model"), _imported, lambda row: row.load, seconds),
        _panel(rows, "Artifact on disk", ("", ""), lambda row: row.size, lambda row: row.size, size),
        _panel(rows, "Environment on disk", ("", ""), _environment, _environment, size),
    )
    return tuple(panel for panel in found if panel.bars)


def _steady(row: Row) -> float | None:
    return row.cell.memory.steady if row.cell.memory else None


def _imported(row: Row) -> float | None:
    return row.cell.load.import_s if row.cell.load else None


def _environment(row: Row) -> float | None:
    return row.cell.size.environment if row.cell.size else None


def _panel(
    rows: tuple[Row, ...],
    title: str,
    parts: tuple[str, str],
    inner: Figure,
    whole: Figure,
    words: Callable[[float], str],
) -> Panel:
    known = [(row, inner(row) or 0.0, value) for row in rows if (value := whole(row)) is not None]
    longest = max((value for _, _, value in known), default=0.0) or 1.0
    bars = tuple(
        Bar(row=row, full=_share(min(part, value), longest), whole=_share(value, longest), text=words(value))
        for row, part, value in known
    )
    return Panel(title=title, full=parts[0], hatched=parts[1], bars=bars)


def _share(value: float, longest: float) -> float:
    return round(value / longest * 100, 2)
