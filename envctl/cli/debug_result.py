"""What `envctl debug` found, on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from envctl.cli.result import stack_line
from envctl.cli.stack import row

if TYPE_CHECKING:
    from envctl.workflow.debug import Diagnosis
    from envctl.workflow.debug_layers import Mixed

HEADS = {
    "agrees": "AGREES  nothing parts: the outputs pass the verdict",
    "refused": "REFUSED  the comparison proves nothing",
    "route": "ROUTE  what the framework's model became in ONNX parts already, whatever engine runs it",
    "node": "FOUND  the first node whose output parts though its inputs agree",
    "company": "FOUND  the output parts here; alone the node answers right: how the engine joins it with others",
    "gradual": "GRADUAL  no single node parts: the error grows along the way",
    "unfinished": "UNFINISHED  the runs were used up before the node was found",
}
SHOWN = 12  # lines of the error's growth


def as_data(found: Diagnosis) -> dict[str, Any]:
    """Everything, for `--json`; `growth` is what a plot of the error along the path needs."""
    from envctl.workflow.outcome import as_data as outcome_data

    growth = [{"tensor": name, "op": op, "error": error} for name, op, error in found.growth]
    return {
        "status": found.status,
        "exit_code": found.exit_code,
        "suspects": [asdict(each) for each in found.suspects],
        "finding": asdict(found.finding) if found.finding else None,
        "output": {"name": found.output, "error": found.plain},
        "growth": growth,
        "runs": found.runs,
        "nodes": found.nodes,
        "memory": {name: {"marked": marked, "plain": plain} for name, (marked, plain) in found.memory.items()},
        "blamed": found.blamed,
        "elsewhere": [asdict(each) for each in found.elsewhere],
        "layers": _mixed(found.mixed) if found.mixed else None,
        "part": str(found.part) if found.part else None,
        "notes": found.notes,
        "verified": outcome_data(found.outcome),
    }


def _mixed(mixed: Mixed) -> dict[str, Any]:
    """JSON has no paths, and no infinity: a trial that failed altogether has no error."""
    trials = [asdict(each) | {"error": each.error if isfinite(each.error) else None} for each in mixed.trials]
    return asdict(mixed) | {"trials": trials, "written": str(mixed.written) if mixed.written else None}


def write_page(found: Diagnosis, path: Path) -> None:
    """One page with the error along the way: what is shown, and every tensor."""
    from envctl.page import Growth, growth_html
    from envctl.tree import write_whole

    model = found.outcome.model
    growth = Growth(
        title=model.path.name if model else "model",
        said=HEADS[found.status],
        facts=tuple((label, text) for label, text in _lines(found) if text and label != "growth"),
        points=tuple(found.growth),
        first=found.finding.tensor if found.finding else "",
    )
    write_whole(path, growth_html(growth))


def show(found: Diagnosis) -> None:
    """The node, what tells it from its neighbours, and the error along the way."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(HEADS[found.status])
    for label, text in _lines(found):
        row(console, label, text)


def _lines(found: Diagnosis) -> Iterator[tuple[str, str]]:
    """Everything that is told, as (label, text); an empty text is left out."""
    outcome = found.outcome
    for role, prepared in (("target", outcome.target), ("reference", outcome.reference)):
        if prepared:
            yield role, stack_line(prepared)
    yield "verdict", outcome.note
    for suspect in found.suspects if found.status != "unfinished" else ():
        yield "node", f"{suspect.op} {suspect.node or suspect.output}"
        yield "layer", suspect.layer
        yield "differs", suspect.differs
    yield from _finding(found)
    yield from (("growth", line) for line in _growth(found))
    yield "blamed", found.blamed
    if found.mixed:
        yield from _layers(found.mixed)
    for each in found.elsewhere:
        yield "elsewhere", f"{each.title}: {each.status}{f' ({each.note})' if each.note else ''}"
    yield from (("note", note) for note in (*outcome.notes, *found.notes))
    yield "searched", _searched(found)
    yield "part", f"{found.part} (shows it alone)" if found.part else ""
    yield "kept", f"{outcome.folder} (jobs, logs, reproduce.sh)" if outcome.folder else ""


def _finding(found: Diagnosis) -> Iterator[tuple[str, str]]:
    finding = found.finding
    if finding is None or not finding.tensor:
        return
    label = "steepest" if finding.kind == "gradual" else "tensor"
    yield label, f"{finding.tensor}: error {finding.after:.1e} of its scale, its inputs {finding.before:.1e}"
    if finding.alone is not None:
        yield "alone", f"on the reference's own inputs the target makes an error of {finding.alone:.1e}"


def _layers(mixed: Mixed) -> Iterator[tuple[str, str]]:
    """The layers to keep and the search for them."""
    for number, trial in enumerate(mixed.trials, 1):
        verdict = "passed" if trial.passed else "failed"
        yield "trial", f"{number}: {len(trial.kept)} in float32: {verdict}, error {trial.error:.1e}"
    if mixed.kept is None:
        yield "layers", f"none of {len(mixed.trials)} trials passed"
        return
    least = "none can be given back" if mixed.minimal else "the trials were used up"
    yield "layers", f"keep {len(mixed.kept)} of {mixed.candidates} in float32 ({least})"
    yield from (("keep", name) for name in mixed.kept)
    yield "wrote", str(mixed.written) if mixed.written else ""


def _growth(found: Diagnosis) -> list[str]:
    """The error along the way: some tensors before the first that parts, and after it."""
    first = found.finding.tensor if found.finding else ""
    at = next((index for index, (name, _, _) in enumerate(found.growth) if name == first), 0)
    shown = found.growth[max(0, at - SHOWN // 3) :][:SHOWN]
    return [f"{error:8.1e}  {op} {name}{'  <' if name == first else ''}" for name, op, error in shown]


def _searched(found: Diagnosis) -> str:
    if not found.nodes:
        return ""
    ratios = [marked / plain for marked, plain in found.memory.values()]
    memory = f", peak memory {max(ratios):.2f} x a plain run's" if ratios else ""
    return f"{found.runs} runs of the target, {len(found.growth)} tensors of {found.nodes} nodes measured{memory}"
