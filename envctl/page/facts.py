"""Facts of the document as (label, value) pairs in words: unknown ones say that they are, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envctl.page.figures import digits, seconds, size
from envctl.page.rows import Document, Row, number_of, printable

Fact = tuple[str, str]
UNKNOWN = "unknown"


def host_facts(document: Document) -> list[Fact]:
    """The machine, and what else went on there meanwhile."""
    host, noise = document.get("host") or {}, document.get("noise") or {}
    facts = [
        ("CPU", _text(host.get("cpu"))),
        ("cores", _text(host.get("cores"))),
        ("memory", size(number_of(host.get("memory")))),
        ("system", _text(host.get("os"))),
        ("GPU", ", ".join(map(_text, host.get("gpu") or ())) or "none"),
        ("frequency governor", _text(host.get("governor"))),
        ("load before", _text(noise.get("load_before"))),
        ("CPU used by others", _share(noise.get("foreign_cpu"))),
        ("frequency", _text(noise.get("frequency"))),
    ]
    known = {"cpu", "cores", "memory", "os", "gpu", "governor"}
    more = [(printable(name), _text(value)) for name, value in sorted(host.items()) if name not in known]
    return [*facts, *more, *(("note", printable(text)) for text in noise.get("notes") or ())]


def setting_facts(document: Document) -> list[Fact]:
    """How it was measured, and what decided which answers are right."""
    settings, reference = document.get("settings") or {}, document.get("reference") or {}
    model = document["model"]
    inputs = [
        f"{each['name']} {each['dtype']}[{','.join(map(str, each['shape'] or ['?']))}]"
        for each in model.get("inputs") or ()
    ]
    facts = [
        ("model", f"{printable(model['path'])}, {_text(model.get('format'))}, {size(number_of(model.get('bytes')))}"),
        ("SHA-256", _text(model.get("digest"))),
        ("inputs", printable("; ".join(inputs)) or UNKNOWN),
        ("reference", f"{_text(reference.get('engine'))} {_text(reference.get('version'))}" if reference else UNKNOWN),
        ("reference's lock", _text(reference.get("lock"))),
    ]
    return [*facts, *((printable(name).replace("_", " "), _text(value)) for name, value in sorted(settings.items()))]


def cell_facts(row: Row) -> list[Fact]:
    """What was asked of a cell, what ran, and every figure that was taken."""
    cell = row.cell
    facts = [("asked", _pairs(cell.get("asked"))), ("ran", _pairs(cell.get("ran")))]
    facts += [("batch, threads, copies", f"{row.batch}, {row.threads or 'its own choice'}, {row.colocate}")]
    return [*facts, *_times(row), *_resources(row)]


def _times(row: Row) -> list[Fact]:
    latency, through = row.cell.get("latency") or {}, row.cell.get("throughput") or {}
    facts = []
    if row.latency is not None:
        parts = [f"{name} {seconds(number_of(latency.get(name)))}" for name in ("min", "median", "p90", "p99")]
        facts.append(("latency", ", ".join(parts)))
        rounds = ", ".join(seconds(number_of(each)) for each in latency.get("rounds") or ())
        stable = "stable" if row.stable else "unstable"
        facts.append(("medians of rounds", f"{rounds or UNKNOWN} ({stable}, variation {_share(row.cv)})"))
        facts.append(("warm-up", f"{_text(latency.get('warmup'))} inferences"))
    if row.throughput is not None:
        how = f"batch {_text(through.get('batch'))}, {_text(through.get('concurrency'))} at once"
        facts.append(("throughput", f"{digits(row.throughput)} /s ({how})"))
    if row.load is not None:
        facts.append(("load", f"import {seconds(row.imported)}, engine {seconds(row.loaded)}"))
    return facts


def _resources(row: Row) -> list[Fact]:
    energy, memory = row.cell.get("energy") or {}, row.cell.get("memory") or {}
    facts = []
    if row.memory is not None:
        gpu = f", GPU {size(number_of(memory['gpu']))}" if memory.get("gpu") is not None else ""
        facts.append(("memory", f"peak {size(row.memory)}, steady {size(row.steady)}{gpu}"))
    if energy.get("joule") is not None:
        facts.append(("energy", f"{digits(float(energy['joule']))} J an inference ({_text(energy.get('source'))})"))
    elif energy:
        facts.append(("energy", f"{UNKNOWN}: {_text(energy.get('because'))}"))
    if row.artifact is not None or row.environment is not None:
        facts.append(("on disk", f"artifact {size(row.artifact)}, environment {size(row.environment)}"))
    return facts


def _pairs(given: Mapping[str, Any] | None) -> str:
    found = [f"{printable(name)} {_text(value)}" for name, value in (given or {}).items() if value is not None]
    return ", ".join(found) or UNKNOWN


def _share(value: Any) -> str:
    return UNKNOWN if value is None else f"{float(value):.1%}"


def _text(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, Mapping):
        return _pairs(value)
    return f"{value:g}" if isinstance(value, float) else printable(value)
