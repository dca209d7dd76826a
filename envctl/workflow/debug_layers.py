"""`envctl debug --layers`: the layers to keep in float32 so that the verdict passes, where graphs state their types."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from envctl.debug.hunt import before_of
from envctl.debug.layers import Layers
from envctl.debug.search import Search
from envctl.errors import BadInput, JobFailed
from envctl.model.onnx_graph import Node, OnnxGraph
from envctl.workflow import convert, deliver, typed
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.debug_bench import Bench
from envctl.workflow.feeds import make_feeds
from envctl.workflow.outcome import Outcome
from envctl.workflow.steps import read_outputs
from envctl.workflow.work import Work

QUANTISED = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat")
# what has no arithmetic of its own: keeping it in float32 only moves the casts
SHAPELESS = (
    "Constant",
    "Identity",
    "Reshape",
    "Transpose",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Shape",
    "Cast",
    "Slice",
)
RANKING = 12  # runs that the ranking may take


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One set of layers that was kept in float32: the verdict, and the largest error in units of the scale."""

    kept: tuple[str, ...]
    passed: bool
    error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixed:
    """The layers to keep (None: nothing passed), all trials, how many layers could be chosen from, whether no layer can
    be given back, and the model with them kept, where that was asked for."""

    kept: tuple[str, ...] | None
    trials: tuple[Trial, ...]
    candidates: int
    minimal: bool
    written: Path | None = None


def check(ask: Ask) -> None:
    """Raise where layers cannot be kept: the precision does not come about by the graph's types."""
    from envctl.spec import read_spec

    spec = read_spec(ask.engine)
    if ask.precision not in {each for row in spec.graph_types for each in row.precisions}:
        do = [f"--precision fp16 or int8 with an engine that goes by the graph's types; {spec.title} was asked for"]
        raise BadInput(
            f"--layers: {spec.title} has no layers of its own precision for {ask.precision or 'fp32'}", do=do
        )


def search(work: Work, bench: Bench, found: Search, listener: Listener, output: Path | None) -> Mixed:
    """Rank the layers by the error that each adds, and keep the fewest that make the verdict pass."""
    ranked = _ranked(bench.source, found, work.ask.precision or "")
    trials: list[Trial] = []
    expected, feeds = read_outputs(work.outcome.results["reference"]), make_feeds(work.ask, work.source, _blank(work))
    made: dict[tuple[str, ...], Path] = {}

    def passes(kept: tuple[str, ...]) -> bool:
        listener.say(f"trial {len(trials) + 1}: {len(kept)} of {len(ranked)} layers in float32")
        again = _again(work, kept, len(trials))
        try:
            verdict = convert.judged_again(again, expected, feeds)
            error = max((each.max_abs / (each.scale or 1) for each in verdict.differences), default=float("inf"))
            trials.append(Trial(kept=kept, passed=verdict.status == "passed", error=error))
            made[kept] = again.outcome.results[typed.FOLDER].artifacts[0]
        except JobFailed:
            trials.append(Trial(kept=kept, passed=False, error=float("inf")))
        _tidy(again, trials[-1].passed)
        return trials[-1].passed

    layers = Layers(ranked=ranked, passes=passes)
    kept = layers.fewest() if ranked else None
    written = _write(output, made[kept]) if output and kept else None
    return Mixed(
        kept=kept, trials=tuple(trials), candidates=len(ranked), minimal=layers.minimal, written=written
    )  # fmt: skip


def _blank(work: Work) -> Outcome:
    return Outcome(task=work.ask.task)


def _again(work: Work, kept: tuple[str, ...], number: int) -> Work:
    """The same work in a folder of its own, with these layers kept."""
    outcome = replace(work.outcome, results={}, notes=[], seconds={}, verdict=None)
    folder = work.folder / f"layers-{number}"
    return replace(work, ask=replace(work.ask, keep_layers=kept), outcome=outcome, folder=folder)


def _tidy(work: Work, passed: bool) -> None:
    """Remove what a trial left, but the graph of one that passed: that may be the answer."""
    for path in work.folder.iterdir() if work.folder.is_dir() and not work.ask.keep else ():
        if not (passed and path.name == typed.FOLDER):
            shutil.rmtree(path, ignore_errors=True)


def _ranked(graph: OnnxGraph, found: Search, precision: str) -> list[str]:
    """The names of the layers, that which adds the largest error first."""
    chosen = [node for node in graph.nodes if _computes(node, precision)]
    _measure(found, [node.outputs[0] for node in chosen])

    def added(node: Node) -> float:
        name = node.outputs[0]
        return found.errors[name] - before_of(found, name) if name in found.errors else 0.0

    return [name_of(node) for node in sorted(chosen, key=added, reverse=True)]


def name_of(node: Node) -> str:
    """A node's name; a node without one is called after its first output, as worker/adapters/graph_types.py does."""
    return node.name or f"makes {node.outputs[0]}"


def _computes(node: Node, precision: str) -> bool:
    return bool(node.outputs) and (node.op in QUANTISED if precision == "int8" else node.op not in SHAPELESS)


def _measure(found: Search, names: Sequence[str]) -> None:
    """Measure what the hunt did not, in chunks, so far as runs allow."""
    found.room = replace(found.room, runs=found.runs + RANKING)
    while left := [name for name in names if found.open(name)]:
        if not found.measure(found.chunk(left)):
            return


def _write(output: Path, made: Path) -> Path:
    """Copy the model with the kept layers to where it was asked for."""
    deliver.check_file(output)
    shutil.copyfile(made, output)
    return output
