"""Memory, time to load, sizes and throughput as bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from envctl.page.figures import digits, seconds, size
from envctl.page.rows import Row

Figure = Callable[[Row], "float | None"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A cell's bar: a full part that ends at `full`, a hatched one from `hatched_from` to `hatched`, in percent."""

    row: Row
    full: float
    hatched_from: float
    hatched: float
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
        _panel(rows, "Memory of the process", "steady", "at its peak", lambda r: r.steady or 0, lambda r: r.memory, size),
        _panel(rows, "Throughput", "inferences a second", "", lambda r: r.throughput, lambda r: r.throughput, _rate),
        _panel(rows, "From start to loaded engine", "import", "engine load", lambda r: r.imported or 0, lambda r: r.load, seconds),
        _panel(rows, "Artifact on disk", "size", "", lambda r: r.artifact, lambda r: r.artifact, size),
        _panel(rows, "Environment on disk", "size", "", lambda r: r.environment, lambda r: r.environment, size),
    )  # fmt: skip
    return tuple(panel for panel in found if panel.bars)


def _panel(
    rows: tuple[Row, ...],
    title: str,
    full: str,
    hatched: str,
    inner: Figure,
    whole: Figure,
    words: Callable[[float], str],
) -> Panel:
    known = [(row, inner(row) or 0.0, value) for row in rows if (value := whole(row)) is not None]
    longest = max((value for _, _, value in known), default=0.0) or 1.0
    bars = tuple(
        Bar(
            row=row,
            full=round(min(part, value) / longest * 100, 2),
            hatched_from=round(min(part, value) / longest * 100, 2),
            hatched=round(value / longest * 100, 2),
            text=words(value),
        )
        for row, part, value in known
    )
    return Panel(title=title, full=full, hatched=hatched, bars=bars)


def _rate(value: float) -> str:
    return f"{digits(value)} /s"
