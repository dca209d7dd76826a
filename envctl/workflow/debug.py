"""`envctl debug`: where target and reference part. The run that is verified first, then runs with marked tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envctl import host as host_module
from envctl.debug.error import SCALES, error, worst_samples
from envctl.debug.graph import Flow
from envctl.debug.hunt import Finding, hunt, nearest
from envctl.debug.search import Room, Search
from envctl.errors import BadInput
from envctl.model import ModelFacts, onnx_graph
from envctl.model.onnx_graph import OnnxGraph
from envctl.model.onnx_header import BITS
from envctl.workflow import convert, debug_elsewhere, debug_layers, debug_told, route, run, steps
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.debug_bench import Bench
from envctl.workflow.debug_elsewhere import THE_FILE, Elsewhere
from envctl.workflow.debug_layers import Mixed
from envctl.workflow.debug_told import Suspect
from envctl.workflow.feeds import make_feeds
from envctl.workflow.outcome import Outcome
from envctl.workflow.source import read_source
from envctl.workflow.task import reference_for
from envctl.workflow.work import Work

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

Status = Literal["agrees", "refused", "node", "company", "gradual", "unfinished"]
SAMPLES = 4  # that marked runs take: those which differ most
MOST_RUNS = 12
SHARE = 6  # of a plain run's peak memory is what the marked tensors of one run may take


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """That layers are to be kept, and where the model that passes goes."""

    output: Path | None = None


@dataclass(kw_only=True, slots=True)
class Diagnosis:
    """What came of the search. `growth` are all measured tensors in the order they are made, with operator and error;
    `memory` the largest peak of a marked run and of the plain one, by step; `outcome` is the verified run before."""

    outcome: Outcome
    status: Status = "agrees"
    suspects: list[Suspect] = field(default_factory=list)
    finding: Finding | None = None
    output: str = ""
    plain: float = 0.0
    growth: list[tuple[str, str, float]] = field(default_factory=list)
    runs: int = 1
    nodes: int = 0
    memory: dict[str, tuple[int, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    part: Path | None = None  # the guilty part as a model, which was run alone
    blamed: str = ""
    elsewhere: list[Elsewhere] = field(default_factory=list)
    mixed: Mixed | None = None

    @property
    def exit_code(self) -> int:
        """0: nothing parts. 1: it does, or the reference proves nothing."""
        return 0 if self.status == "agrees" else 1


def debug(
    ask: Ask,
    listener: Listener,
    probes: host_module.Probes,
    versions: tuple[str, ...] | None = None,
    layers: Layers | None = None,
) -> Diagnosis:
    """The first node whose output differs though its inputs agree; an engine's own failures are raised.

    `versions` are other releases of the engine to try the same model with; None: some whose environments are there.
    With `layers` also the fewest layers to keep in float32.
    """
    found: list[Diagnosis] = []

    def perform(work: Work, listener: Listener) -> None:
        convert.perform(work, listener)
        found.append(_diagnose(work, listener, layers))

    ask = _through_onnx(ask)
    if layers:
        debug_layers.check(ask)
    run.run(ask, listener, probes, perform)
    told = found[0]
    if versions:
        told.elsewhere = debug_elsewhere.named(ask, versions, listener)
    elif versions is None and told.status in ("node", "company") and not told.blamed.startswith(THE_FILE):
        assert told.outcome.target
        told.elsewhere = debug_elsewhere.cheap(ask, told.outcome.target, listener)
    return told


def _through_onnx(ask: Ask) -> Ask:
    """Tensors are marked in ONNX: a model of another format passes that."""
    if ask.model is None or ask.through not in ("", "onnx"):
        raise BadInput("debug marks tensors in ONNX", do=["leave --via out, or say --via onnx"])
    is_onnx = read_source(ask.model).format == "onnx"
    return ask if is_onnx else replace(ask, through="onnx")


def _diagnose(work: Work, listener: Listener, layers: Layers | None) -> Diagnosis:
    outcome = work.outcome
    told = Diagnosis(outcome=outcome)
    if outcome.status in ("passed", "refused"):
        told.status = "agrees" if outcome.status == "passed" else "refused"
        return told
    bench = _bench(work, listener)
    if not bench.plain:
        told.status, told.notes = "gradual", ["the outputs differ by less than can be followed through the graph"]
        return told
    search = _search(bench, work)
    scale = SCALES[outcome.precision]
    finding = hunt(search, scale, lambda tensor: _alone(bench, search, tensor))
    _tell(told, bench, search, finding)
    told.blamed = debug_elsewhere.blamed(bench)
    told.part = bench.part / "part.onnx" if bench.part and finding.alone is not None else None
    if layers:
        told.mixed = debug_layers.search(work, bench, search, listener, layers.output)
    if not work.ask.keep:
        bench.tidy()
    return told


def _bench(work: Work, listener: Listener) -> Bench:
    """Both files, and the few samples that differ most."""
    source, target = _files(work)
    graph = onnx_graph.read_graph(source.path)
    same = source.path == target.path
    feeds, plain = _worst(work)
    typed = "types" in work.outcome.results
    return Bench(
        work=replace(work, ask=replace(work.ask, precision=None)) if typed else work,
        reference=_reference(work),
        source=graph,
        target=graph if same else onnx_graph.read_graph(target.path),
        external={each.path: each.external for each in (source, target)},
        feeds=feeds,
        plain=plain,
        listener=listener,
        runs=1,
    )


def _reference(work: Work) -> Any:
    assert work.outcome.reference
    return work.outcome.reference


def _files(work: Work) -> tuple[ModelFacts, ModelFacts]:
    """The ONNX files that the reference runs and that the target's conversion takes."""
    passed = route.passed(work).model
    source = reference_for(work.ask, work.source) if work.source.format == "onnx" else passed
    types = work.outcome.results.get("types")
    return source, read_source(types.artifacts[0]) if types else passed


def _worst(work: Work) -> tuple[dict[str, Array], dict[str, float]]:
    """The inputs of the samples that differ most, and the errors of the outputs on them."""
    feeds = make_feeds(work.ask, work.source, replace(work.outcome))
    expected = steps.read_outputs(work.outcome.results["reference"])
    answers = steps.read_outputs(work.outcome.results["infer"])
    answers = convert.in_order(expected, answers)
    count = len(next(iter(feeds.values())))
    assert work.outcome.verdict
    failing = {each.output for each in work.outcome.verdict.differences if each.fails}
    both = zip(expected, answers.values(), strict=False)
    pairs = {name: (expected[name][:count], answer) for name, answer in both if name in failing}
    chosen = _chosen(pairs)
    plain = {name: error(before[chosen], after[chosen]) for name, (before, after) in pairs.items() if chosen}
    return {name: array[chosen] for name, array in feeds.items()}, {n: e for n, e in plain.items() if e > 0}


def _chosen(pairs: Mapping[str, tuple[Array, Array]]) -> list[int]:
    chosen: list[int] = []
    for before, after in pairs.values():
        chosen += [index for index in worst_samples(before, after, SAMPLES) if index not in chosen]
    return sorted(chosen[:SAMPLES])


def _search(bench: Bench, work: Work) -> Search:
    """A search over all that both files make, but constants, with room for what a plain run's memory allows."""
    flow = _flow(bench.source)
    theirs = bench.target.makers()
    constants = {name for node in bench.source.nodes if node.op == "Constant" for name in node.outputs}
    passed_by = {*constants, *bench.source.outputs, *bench.target.outputs}
    names = [name for name in flow.made_by if name in theirs and name not in passed_by]
    bench.learn(names)
    measurable = [name for name in names if name in bench.values and bench.values[name].dtype in BITS]
    sizes = {name: bench.values[name].bytes for name in measurable}
    unknown = max((size for size in sizes.values() if size), default=0)
    room = Room(
        sizes={name: size or unknown for name, size in sizes.items()},
        bytes=min(result.peak_memory for result in _plain_runs(work).values()) // SHARE,
        runs=MOST_RUNS - bench.runs,
    )
    search = Search(flow=flow, room=room, measurable=frozenset(measurable), probe=bench.measure)
    search.errors.update(bench.plain)
    return search


def _plain_runs(work: Work) -> dict[str, Any]:
    return {name: each for name, each in work.outcome.results.items() if name in ("reference", "infer")}


def _flow(graph: OnnxGraph) -> Flow:
    return Flow(nodes=[(node.inputs, node.outputs) for node in graph.nodes], ends=graph.outputs)


def _alone(bench: Bench, search: Search, tensor: str) -> float | None:
    """Run what makes the tensor by itself: on the tensors that were measured next before it, or the model's inputs."""
    flow = _flow(bench.target)
    if tensor not in flow.made_by or search.runs >= search.room.runs or tensor not in bench.kept:
        return None
    feeds = debug_told.feeds_of(bench.target, flow, tensor, set(bench.kept))
    if not feeds:
        return None
    search.runs += 1
    return bench.alone(tensor, feeds)


def _tell(told: Diagnosis, bench: Bench, search: Search, finding: Finding) -> None:
    told.finding, told.status, told.runs, told.nodes = finding, finding.kind, bench.runs, len(bench.source.nodes)
    told.output, told.plain = max(bench.plain.items(), key=lambda item: item[1])
    made, nodes = search.flow.made_by, bench.source.nodes
    order = sorted((name for name in search.errors if name in made), key=lambda name: made[name])
    told.growth = [(name, nodes[made[name]].op, search.errors[name]) for name in order]
    if finding.tensor:
        told.suspects = debug_told.suspects(bench.source, bench.target, finding.tensor, nearest(search, finding.tensor))
    plain = {name: each.peak_memory for name, each in bench.work.outcome.results.items()}
    told.memory = {name: (peak, plain[name]) for name, peak in bench.peaks.items() if plain.get(name)}
    told.notes = [*bench.notes, *(f"{name} could not be measured: {why}" for name, why in search.unmeasured.items())]
