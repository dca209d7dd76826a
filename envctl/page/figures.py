"""The columns of the report: their figures, units, and which cell has the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import floor, isfinite, log10

from envctl.page.rows import Row, printable

MISSING = "–"
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A figure of each cell: `value` in SI units, shown times `factor`; `up`: more is better. `title` is for narrow
    tables, `full` where there is room."""

    key: str
    title: str
    unit: str
    value: Callable[[Row], float | None]
    factor: float = 1.0
    up: bool = False
    full: str = ""

    @property
    def heading(self) -> str:
        """The title where there is room."""
        return self.full or self.title


COLUMNS = (
    Column(key="latency", title="latency", unit="ms", value=lambda row: row.latency, factor=1e3),
    Column(key="p99", title="p99", unit="ms", value=lambda row: row.p99, factor=1e3),
    Column(key="throughput", title="through", unit="/s", value=lambda row: row.throughput, up=True, full="throughput"),
    Column(key="load", title="load", unit="s", value=lambda row: row.load),
    Column(key="memory", title="memory", unit="MiB", value=lambda row: row.memory, factor=1 / MIB),
    Column(key="size", title="size", unit="MiB", value=lambda row: row.size, factor=1 / MIB),
    Column(key="error", title="error", unit="× scale", value=lambda row: row.error),
)
DROP = Column(key="drop", title="drop", unit="", value=lambda row: row.drop)  # of a task's metric, where one was taken
BY_KEY = {column.key: column for column in COLUMNS}


def columns(rows: Iterable[Row]) -> tuple[Column, ...]:
    """The columns that a report on these cells has: throughput where it was searched for, the drop of a task's metric
    where one was taken."""
    found = list(rows)
    timed = any(row.throughput is not None for row in found) or not any(row.latency is not None for row in found)
    kept = tuple(column for column in COLUMNS if timed or column.key != "throughput")
    metrics = sorted({row.cell.task.metric for row in found if row.cell.task})
    return (*kept, replace(DROP, unit=printable(metrics[0].rpartition(":")[2])[:8])) if metrics else kept


def aligned(values: Iterable[float | None]) -> list[str]:
    """A column of figures with as many decimals as its smallest needs for three digits (four at most)."""
    given = list(values)
    least = min((abs(value) for value in given if value and isfinite(value)), default=1.0)
    places = max(0, min(4, 2 - floor(log10(least))))
    return [MISSING if value is None else f"{value:.{places}f}" for value in given]


def error_text(value: float | None) -> str:
    """An error in units of the scale: one digit says enough, none and infinity are words."""
    if value is None:
        return MISSING
    if not value:
        return "0"
    return f"{value:.1e}".replace("e-0", "e-") if isfinite(value) else "infinite"


def shown(column: Column, rows: Iterable[Row]) -> list[str]:
    """The column's texts, in the rows' order."""
    values = [column.value(row) for row in rows]
    if column.key == "error":
        return [error_text(value) for value in values]
    if column.key == "drop":
        return [MISSING if value is None else f"{value:+.4f}" for value in values]
    return aligned(None if value is None else value * column.factor for value in values)


def best(rows: Iterable[Row], column: Column) -> frozenset[int]:
    """The numbers of the cells with the best figure among those that passed and did the same work; where all
    are alike, or there is one only, nobody is the best."""
    groups: dict[tuple[int, int, int], list[tuple[float, int]]] = {}
    for row in rows:
        value = column.value(row)
        if row.passed and value is not None:
            groups.setdefault(row.group, []).append((-value if column.up else value, row.number))
    firsts = ((min(found)[0], found) for found in groups.values() if min(found)[0] < max(found)[0])
    return frozenset(number for first, found in firsts for value, number in found if value == first)


def seconds(value: float | None) -> str:
    """A time with three digits and its unit."""
    if value is None:
        return MISSING
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if value * factor >= 1:
            return f"{digits(value * factor)} {unit}"
    return f"{digits(value * 1e6)} µs"


def size(value: float | None) -> str:
    """Bytes in the largest unit that gives a figure of one or more."""
    if value is None:
        return MISSING
    for unit, factor in (("GiB", 1 << 30), ("MiB", MIB), ("KiB", 1 << 10)):
        if value >= factor:
            return f"{digits(value / factor)} {unit}"
    return f"{value:.0f} B"


def rate(value: float) -> str:
    """A throughput with its unit."""
    return f"{digits(value)} /s"


def digits(value: float) -> str:
    """Three digits, and never fewer than the figure has before its point."""
    if not value or not isfinite(value):
        return f"{value:g}"
    return f"{value:,.{max(0, min(3, 2 - floor(log10(abs(value)))))}f}"
