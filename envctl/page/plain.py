"""The cells as CSV and as Markdown."""

from __future__ import annotations

import csv as writer
import io
import re
from typing import Any

from envctl.bench.document import Document, TaskMetric
from envctl.page.figures import MISSING, best, columns, shown
from envctl.page.rows import Row, Sort, ordered, printable, rows

MEASURES = (
    "latency_s", "p90_s", "p99_s", "cv", "stable", "throughput_per_s", "import_s", "load_s", "first_s", "peak_bytes",
    "steady_bytes", "artifact_bytes", "environment_bytes", "error_of_scale",
)  # fmt: skip
METRIC = ("metric", "metric_samples", "metric_reference", "metric_target", "metric_drop", "drop_low", "drop_high")
FIELDS = (
    "id", "engine", "version", "precision_asked", "precision", "device", "batch", "threads", "colocate", "status",
    *MEASURES, *METRIC, "reason", "lock", "command",
)  # fmt: skip
ENDS = {True: "true", False: "false", None: ""}
FORMULA = ("=", "+", "-", "@")  # what a spreadsheet would compute


def csv(document: Document) -> str:
    """A line a cell, figures in SI units at full precision, empty where nothing was measured."""
    stream = io.StringIO()
    lines = writer.writer(stream, lineterminator="\n")
    lines.writerow(FIELDS)
    for row in rows(document):
        fields = _fields(row)
        lines.writerow([_field(fields[name]) for name in FIELDS])
    return stream.getvalue()


def _fields(row: Row) -> dict[str, Any]:
    cell = row.cell
    return _figures(row) | _metric(cell.task) | {
        "id": cell.id, "engine": cell.engine, "version": cell.version, "precision_asked": cell.asked.precision,
        "precision": cell.ran and cell.ran.precision, "device": cell.ran and cell.ran.device, "batch": cell.batch,
        "threads": cell.threads, "colocate": cell.colocate, "status": cell.status,
        "reason": cell.reason and cell.reason.what, "lock": cell.lock, "command": cell.command,
    }  # fmt: skip


def _metric(task: TaskMetric | None) -> dict[str, Any]:
    figures = (task.metric, task.samples, task.reference, task.target, task.drop, task.low, task.high) if task else ()
    return dict(zip(METRIC, figures, strict=True)) if figures else dict.fromkeys(METRIC)


def _figures(row: Row) -> dict[str, Any]:
    latency, through, load, memory, size = (
        getattr(row.cell, part) for part in ("latency", "throughput", "load", "memory", "size")
    )
    return {
        "latency_s": latency and latency.median, "p90_s": latency and latency.p90, "p99_s": latency and latency.p99,
        "cv": latency and latency.cv, "stable": latency and latency.stable,
        "throughput_per_s": through and through.per_s, "import_s": load and load.import_s,
        "load_s": load and load.load_s, "first_s": load and load.first_s, "peak_bytes": memory and memory.peak,
        "steady_bytes": memory and memory.steady, "artifact_bytes": size and size.artifact,
        "environment_bytes": size and size.environment, "error_of_scale": row.error,
    }  # fmt: skip


def _field(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return ENDS[value]
    if isinstance(value, (int, float)):
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        return str(int(value)) if whole else repr(value)
    text = printable(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def markdown(document: Document, sort: Sort = "latency") -> str:
    """A table that GitHub renders, the best in bold, and below it why cells did not pass."""
    found = ordered(rows(document), sort)
    model = _escaped(printable(document.model.path))
    lines = [f"### {model} on {_escaped(printable(document.host.cpu or 'an unknown CPU'))}", ""]
    heads = ["", "engine", "precision", *(f"{column.heading} ({column.unit})" for column in columns(found))]
    lines += [_line(heads), _line(["---", "---", "---", *(["---:"] * len(columns(found)))])]
    lines += [_line(cells) for cells in _table(found)]
    failing = [row for row in found if not row.passed]
    lines += ["", *map(_reason, failing)] if failing else []
    told = "Bold: the best that passed. Error: the largest, in units of the output's scale. ~: unstable."
    return "\n".join([*lines, "", f"{told} envctl {_escaped(printable(document.envctl))}.", ""])


def _table(found: tuple[Row, ...]) -> list[list[str]]:
    texts = [shown(column, found) for column in columns(found)]
    firsts = [best(found, column) for column in columns(found)]
    lines = []
    for index, row in enumerate(found):
        figures = [f"**{text[index]}**" if row.number in first else text[index]
                   for text, first in zip(texts, firsts, strict=True)]  # fmt: skip
        if figures[0] != MISSING and not row.stable:
            figures[0] = f"~{figures[0]}"
        status = "✓" if row.passed else f"✗ {row.cell.status}"
        lines.append([status, _escaped(row.name), _escaped(row.variant), *figures])
    return lines


def _reason(row: Row) -> str:
    reason = row.cell.reason
    because = "; ".join(each.text for each in reason.because) if reason else ""
    said = f"{reason.what}{f' ({because})' if because else ''}" if reason else "no reason was recorded"
    return f"- {_escaped(row.name)} {_escaped(row.variant)}: {row.cell.status}: {_escaped(printable(said))}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown and HTML take as it is."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", plain)
