"""The cells of a comparison as rows: what every form of the report is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from envctl.bench.accuracy import worst_error
from envctl.bench.document import Cell, Document

Sort = Literal["latency", "throughput", "memory", "size", "error", "load"]
SORTS: tuple[Sort, ...] = ("latency", "throughput", "memory", "size", "error", "load")
DIMENSIONS = {"batch": "b", "threads": "t", "colocate": "×"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A cell with its names: `number` is its place in the document from 1, `variant` what it was asked for, `label` the
    shortest name that tells it from the others, `short` from those of its group. Figures are None where nothing was
    measured."""

    number: int
    name: str
    variant: str
    label: str
    short: str
    cell: Cell

    @property
    def passed(self) -> bool:
        """Its answers are right."""
        return self.cell.status == "passed"

    @property
    def group(self) -> tuple[int, int, int]:
        """Cells of one group did the same work at the same time."""
        return (self.cell.batch, self.cell.threads, self.cell.colocate)

    @property
    def stable(self) -> bool:
        """Its rounds came to agree, or there are none."""
        return self.cell.latency is None or self.cell.latency.stable

    @property
    def latency(self) -> float | None:
        """The median of one inference in seconds."""
        return self.cell.latency.median if self.cell.latency else None

    @property
    def p99(self) -> float | None:
        """What 99 of 100 inferences take at most."""
        return self.cell.latency.p99 if self.cell.latency else None

    @property
    def throughput(self) -> float | None:
        """Samples a second at the best batch and concurrency."""
        return self.cell.throughput.per_s if self.cell.throughput else None

    @property
    def memory(self) -> float | None:
        """The most bytes that the process held."""
        return self.cell.memory.peak if self.cell.memory else None

    @property
    def size(self) -> float | None:
        """The artifact's bytes on disk."""
        return self.cell.size.artifact if self.cell.size else None

    @property
    def load(self) -> float | None:
        """Seconds to import the engine and to load the model."""
        return self.cell.load.import_s + self.cell.load.load_s if self.cell.load else None

    @property
    def drop(self) -> float | None:
        """What the target loses of the reference's metric on labelled samples."""
        return self.cell.task.drop if self.cell.task else None

    @property
    def error(self) -> float | None:
        """The largest error of any output in units of its scale; None: not compared."""
        return worst_error(self.cell)


def rows(document: Document) -> tuple[Row, ...]:
    """Every cell, in the document's order."""
    cells = document.cells
    varies = [name for name in DIMENSIONS if len({getattr(cell, name) for cell in cells}) > 1]
    versions = {(cell.engine, cell.version) for cell in cells}
    several = {cell.engine for cell in cells if sum(engine == cell.engine for engine, _ in versions) > 1}
    return tuple(_row(number, cell, varies, cell.engine in several) for number, cell in enumerate(cells, start=1))


def _row(number: int, cell: Cell, varies: list[str], several: bool) -> Row:
    title, version = printable(cell.title), printable(cell.version or "")
    kind = _precision(cell)
    variant = [*kind, *(f"{DIMENSIONS[name]}{getattr(cell, name)}" for name in varies)]
    named = [title, version] if several and version else [title]
    return Row(
        number=number,
        name=f"{title} {version}".rstrip(),
        variant=" ".join(variant),
        label=" ".join([*named, *variant]),
        short=" ".join([*named, *kind]),
        cell=cell,
    )


def _precision(cell: Cell) -> list[str]:
    """The precision that ran, else the one that was asked for; the model's own has no name before it ran."""
    found = cell.ran.precision if cell.ran else cell.asked.precision
    return [printable(found)] if found else []


def printable(text: object) -> str:
    """Text of the document without what a terminal or a page would obey: control and direction marks are shown."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in str(text))


def ordered(found: tuple[Row, ...], sort: Sort) -> tuple[Row, ...]:
    """The rows, best first: those that passed, those whose answers are wrong, those without figures."""
    downward = sort == "throughput"

    def key(row: Row) -> tuple[int, bool, float, int]:
        value: float | None = getattr(row, sort)
        rank = 0 if row.passed else 1 if row.latency is not None else 2
        return (rank, value is None, (value or 0.0) * (-1 if downward else 1), row.number)

    return tuple(sorted(found, key=key))
