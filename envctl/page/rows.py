"""The cells of a comparison as rows with figures: what every form of the report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any, Literal, TypeAlias

Cell: TypeAlias = Mapping[str, Any]
Document: TypeAlias = Mapping[str, Any]
Sort = Literal["latency", "throughput", "memory", "size", "error", "load"]
SORTS: tuple[Sort, ...] = ("latency", "throughput", "memory", "size", "error", "load")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a cell has no figures, or wrong ones: what, because (text, source), do."""

    what: str = ""
    because: tuple[tuple[str, str], ...] = ()
    do: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A cell: times in seconds, sizes in bytes, None where nothing was measured.

    `number` is its place in the document from 1, `label` what tells it from the others, `error` its largest error over
    all outputs in units of the output's scale, `load` the time from the process' start to a loaded engine.
    """

    number: int
    id: str
    engine: str
    name: str
    label: str
    variant: str
    batch: int
    threads: int
    colocate: int
    status: str
    reason: Reason
    latency: float | None
    p90: float | None
    p99: float | None
    cv: float | None
    stable: bool
    throughput: float | None
    memory: float | None
    steady: float | None
    artifact: float | None
    environment: float | None
    imported: float | None
    loaded: float | None
    error: float | None
    drop: float | None
    cell: Cell

    @property
    def passed(self) -> bool:
        """Its answers are right."""
        return self.status == "passed"

    @property
    def group(self) -> tuple[int, int, int]:
        """Cells of one group did the same work at the same time."""
        return (self.batch, self.threads, self.colocate)

    @property
    def size(self) -> float | None:
        """The artifact on disk."""
        return self.artifact

    @property
    def load(self) -> float | None:
        """Import and engine load together."""
        return None if self.imported is None or self.loaded is None else self.imported + self.loaded


def rows(document: Document) -> tuple[Row, ...]:
    """Every cell, in the document's order."""
    cells = document["cells"]
    varies = {name for name in ("batch", "threads", "colocate") if len({cell.get(name) or 1 for cell in cells}) > 1}
    versions: dict[str, set[str]] = {}
    for cell in cells:
        versions.setdefault(cell["engine"], set()).add(cell["version"])
    several = {engine for engine, found in versions.items() if len(found) > 1}
    return tuple(_row(index, cell, varies, several) for index, cell in enumerate(cells, start=1))


def _row(number: int, cell: Cell, varies: set[str], several: set[str]) -> Row:
    latency, memory, size = (cell.get(part) or {} for part in ("latency", "memory", "size"))
    load, task = cell.get("load") or {}, cell.get("task") or {}
    variant = " ".join(_variant(cell, varies))
    version = f" {printable(cell['version'])}" if cell["engine"] in several else ""
    return Row(
        number=number,
        id=printable(cell["id"]),
        engine=printable(cell["engine"]),
        name=f"{printable(cell['title'])} {printable(cell['version'])}",
        label=f"{printable(cell['title'])}{version} {variant}",
        variant=variant,
        batch=cell.get("batch") or 1,
        threads=cell.get("threads") or 0,
        colocate=cell.get("colocate") or 1,
        status=printable(cell["status"]),
        reason=_reason(cell.get("reason")),
        latency=number_of(latency.get("median")),
        p90=number_of(latency.get("p90")),
        p99=number_of(latency.get("p99")),
        cv=number_of(latency.get("cv")),
        stable=bool(latency.get("stable", True)),
        throughput=number_of((cell.get("throughput") or {}).get("per_s")),
        memory=number_of(memory.get("peak")),
        steady=number_of(memory.get("steady")),
        artifact=number_of(size.get("artifact")),
        environment=number_of(size.get("environment")),
        imported=number_of(load.get("import_s")),
        loaded=number_of(load.get("load_s")),
        error=worst_error(cell),
        drop=number_of(task.get("drop")),
        cell=cell,
    )


def _variant(cell: Cell, varies: set[str]) -> list[str]:
    """The precision that ran, and of batch, threads and copies whatever differs between cells."""
    short = {"batch": "b", "threads": "t", "colocate": "×"}
    kind = (cell.get("ran") or {}).get("precision") or (cell.get("asked") or {}).get("precision") or "fp32"
    return [printable(kind), *(f"{short[name]}{cell.get(name) or 1}" for name in short if name in varies)]


def _reason(given: Any) -> Reason:
    if not given:
        return Reason()
    because = given.get("because") or ()
    texts = [(each, "") if isinstance(each, str) else (each["text"], each.get("source") or "") for each in because]
    return Reason(
        what=printable(given.get("what") or ""),
        because=tuple((printable(text), printable(source)) for text, source in texts),
        do=tuple(printable(text) for text in given.get("do") or ()),
    )


def worst_error(cell: Cell) -> float | None:
    """The largest error of any output in units of its scale; not-a-number counts as infinite; None: not compared."""
    outputs = (cell.get("verdict") or {}).get("outputs") or ()
    found = [_relative(output) for output in outputs]
    return max((value for value in found if value is not None), default=None)


def _relative(output: Mapping[str, Any]) -> float | None:
    error, scale = number_of(output.get("max_abs")), number_of(output.get("scale"))
    if error is None:
        return None
    ratio = error / scale if scale else error
    return float("inf") if isnan(ratio) else ratio


def number_of(value: Any) -> float | None:
    """A figure of the document: infinities and NaN, which JSON lacks, stand there as words."""
    return None if value is None else float(value)


def printable(text: Any) -> str:
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
