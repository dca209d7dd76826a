"""Facts of the document as (label, value) pairs in words: unknown ones say that they are, and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from envctl.bench.document import Cell, Document, Latency, TaskMetric, Throughput
from envctl.page.figures import digits, seconds, size
from envctl.page.rows import Row, printable

Fact = tuple[str, str]
UNKNOWN = "unknown"


def host_facts(document: Document) -> list[Fact]:
    """The machine, and what else went on there meanwhile."""
    host, noise = document.host, document.noise
    clock = noise.frequency
    return [
        ("CPU", words(host.cpu)),
        ("cores", words(host.cores)),
        ("memory", size(host.memory)),
        ("system", f"{words(host.os)}, kernel {words(host.kernel)}"),
        ("GPU", f"{words(host.gpu)}, driver {words(host.driver)}" if host.gpu else "none"),
        ("runner", words(host.runner)),
        ("governor", words(host.governor)),
        ("frequency", f"{clock[0]:.0f} to {clock[1]:.0f} MHz" if clock else UNKNOWN),
        ("load before", words(noise.load_before)),
        ("CPU taken by others", f"{share(noise.foreign_cpu)}, by other guests {share(noise.stolen)}"),
        *((("GPU taken by others", share(noise.foreign_gpu)),) if host.gpu else ()),
        *(("note", printable(text)) for text in noise.notes),
    ]


def setting_facts(document: Document) -> list[Fact]:
    """The model, how it was measured, and what decided which answers are right."""
    model, reference, asked = document.model, document.reference, document.settings
    named = [f"{each.name} {each.dtype}{_shape(each.shape)}" for each in model.inputs]
    return [
        ("model", printable(model.path)),
        ("format", f"{words(model.format)}, {size(model.bytes)}"),
        ("SHA-256", words(model.digest)),
        ("inputs", printable("; ".join(named)) or UNKNOWN),
        ("reference", f"{words(reference.engine)} {words(reference.version)}" if reference else UNKNOWN),
        ("reference's lock", words(reference.lock) if reference else UNKNOWN),
        ("rounds", f"{asked.rounds} of {seconds(asked.seconds)}, until they vary by {share(asked.cv_limit)} at most"),
        ("inputs judged", f"{asked.samples} samples from seed {asked.seed}"),
        ("envctl", words(document.envctl)),
    ]


def _shape(shape: tuple[int | None, ...] | None) -> str:
    return f"[{','.join('?' if size is None else str(size) for size in shape)}]" if shape is not None else "[…]"


def cell_facts(row: Row) -> list[Fact]:
    """What was asked of a cell, what ran, and every figure that was taken."""
    cell = row.cell
    facts = [
        ("asked", pairs(asdict(cell.asked))),
        ("ran", pairs(asdict(cell.ran)) if cell.ran else "nothing"),
        ("load put on it", f"batch {cell.batch}, threads {cell.threads or 'its own choice'}, copies {cell.colocate}"),
    ]
    facts += [(f"{printable(cell.task.metric)} on labels", task_words(cell.task))] if cell.task else []
    facts += _times(cell.latency) if cell.latency else []
    facts += _throughput(cell.throughput) if cell.throughput else []
    return [*facts, *_resources(row), *(("note", printable(text)) for text in cell.notes)]


def task_words(task: TaskMetric) -> str:
    """A task's metric of both, and how sure the drop is."""
    return (
        f"reference {task.reference:.4f}, target {task.target:.4f}, drop {task.drop:+.4f} (95 % between "
        f"{task.low:+.4f} and {task.high:+.4f}; {task.samples} samples; {printable(task.method)})"
    )


def _times(latency: Latency) -> list[Fact]:
    quantiles = ", ".join(f"{name} {seconds(getattr(latency, name))}" for name in ("min", "median", "p90", "p99"))
    state = "stable" if latency.stable else f"unstable{f': {printable(latency.because)}' if latency.because else ''}"
    return [
        ("latency", f"{quantiles}, of {latency.count} inferences"),
        ("rounds", f"{', '.join(map(seconds, latency.rounds))} ({state}, variation {share(latency.cv)})"),
        ("warm-up", f"{latency.warmup} inferences"),
    ]


def _throughput(found: Throughput) -> list[Fact]:
    if found.per_s is None:
        return [("throughput", f"{UNKNOWN}: {printable(found.because)}")]
    how = f"batch {words(found.batch)}, {words(found.concurrency)} at once"
    tried = [f"{each.batch}×{each.concurrency}: {_rate(each.per_s, each.because)}" for each in found.curve]
    return [("throughput", f"{digits(found.per_s)} /s ({how})"), ("tried", "; ".join(tried) or "nothing more")]


def _rate(per_s: float | None, because: str) -> str:
    return f"{digits(per_s)} /s" if per_s is not None else printable(because) or UNKNOWN


def _resources(row: Row) -> list[Fact]:
    load, memory, energy, disk = row.cell.load, row.cell.memory, row.cell.energy, row.cell.size
    facts = []
    if load:
        facts.append(("load", f"import {seconds(load.import_s)}, model {seconds(load.load_s)}, "
                              f"first inference {seconds(load.first_s)}"))  # fmt: skip
    if memory:
        gpu = f", GPU {size(memory.gpu)}" if memory.gpu is not None else ""
        facts.append(("memory", f"peak {size(memory.peak)}, steady {size(memory.steady)}{gpu}{_why(memory.because)}"))
    if energy:
        joule = f"{digits(energy.joule)} J ({words(energy.source)})" if energy.joule is not None else UNKNOWN
        facts.append(("energy of an inference", f"{joule}{_why(energy.because)}"))
    if disk:
        facts.append(("on disk", f"artifact {size(disk.artifact)}, environment {size(disk.environment)}"))
    return facts


def limits(cell: Cell) -> str:
    """What the cell's outputs were judged by."""
    found = cell.verdict.tolerance if cell.verdict else {}
    return pairs({name.replace("_", " "): value for name, value in found.items()})


def _why(because: str) -> str:
    return f" ({printable(because)})" if because else ""


def pairs(given: dict[str, Any]) -> str:
    """Names and values that are known, in a line."""
    known = ((name, value) for name, value in given.items() if value not in (None, ""))
    return ", ".join(f"{printable(name)} {words(value)}" for name, value in known)


def share(value: float | None) -> str:
    """A part of one in percent."""
    return UNKNOWN if value is None else f"{value:.1%}"


def words(value: object) -> str:
    """Any value of the document as text."""
    if value is None:
        return UNKNOWN
    if isinstance(value, tuple):
        return ", ".join(map(words, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else printable(value)
