"""What a search begins with: the two files, the samples that differ most, and how much one run may keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from envctl import matrix
from envctl.debug.error import SCALES, error, worst_samples
from envctl.debug.graph import Flow
from envctl.debug.search import Room, Search
from envctl.errors import BadInput, Reason
from envctl.model import ModelFacts, onnx_graph
from envctl.model.onnx_graph import OnnxGraph
from envctl.model.onnx_header import BITS
from envctl.routes import reference_engine
from envctl.workflow import convert, route, steps
from envctl.workflow.ask import Listener
from envctl.workflow.debug_bench import Bench
from envctl.workflow.feeds import make_feeds
from envctl.workflow.plan import known_facts, plan_reference
from envctl.workflow.prepare import Prepared
from envctl.workflow.source import read_source
from envctl.workflow.target import carry_out
from envctl.workflow.task import reference_for
from envctl.workflow.work import Work

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

SAMPLES = 4  # that marked runs take: those which differ most
MOST_RUNS = 12
SHARE = 6  # of a plain run's peak memory is what the marked tensors of one run may take


def bench_of(work: Work, listener: Listener) -> tuple[Bench, dict[str, Array]]:
    """Both files and the few samples that differ most, with what the reference answered to these."""
    source, target = _files(work)
    graph = onnx_graph.read_graph(source.path)
    same = source.path == target.path
    feeds, plain, expected = _worst(work)
    turned = route.turn(feeds, route.passed(work).channels_first, route.TO_NCHW)
    typed = "types" in work.outcome.results
    bench = Bench(
        work=replace(work, ask=replace(work.ask, precision=None)) if typed else work,
        reference=_reference(work, source, listener),
        source=graph,
        target=graph if same else onnx_graph.read_graph(target.path),
        external={each.path: each.external for each in (source, target)},
        feeds=turned,
        plain=plain,
        listener=listener,
        runs=1,
    )
    return bench, expected


def _reference(work: Work, source: ModelFacts, listener: Listener) -> Prepared:
    """The engine that the marked graph is compared with: ONNX Runtime, also where the verdict was a framework's."""
    assert work.outcome.reference
    if work.source.format == "onnx":
        return work.outcome.reference
    known = known_facts(work.host, work.runner, source, None)
    engine = reference_engine(source.format)
    planned = plan_reference(matrix.load(), engine, (), known, work.runner, source)
    return carry_out("reference", planned, work.ask, work.host, work.runner, listener)


def _files(work: Work) -> tuple[ModelFacts, ModelFacts]:
    """The ONNX files that the reference runs and that the target's conversion takes."""
    passed = route.passed(work).model
    source = reference_for(work.ask, work.source) if work.source.format == "onnx" else passed
    types = work.outcome.results.get("types")
    return source, _typed(work, read_source(types.artifacts[0])) if types else passed


def _typed(work: Work, made: ModelFacts) -> ModelFacts:
    """The file with the precision's types, where that is ONNX still."""
    if made.format == "onnx":
        return made
    assert work.outcome.verdict
    because = [Reason(text=text, source="the verdict") for text in work.outcome.verdict.reasons]
    precision, title = work.ask.precision, work.target.plan.spec.title
    do = [
        f"write {precision} in ONNX: envctl run --ort 1.31 convert MODEL --precision {precision} … -o out",
        "and follow that file: envctl debug MODEL --target-model out/….onnx …, without --precision",
    ]
    what = f"{title}'s {precision} is made in {made.format}, whose tensors cannot be followed"
    raise BadInput(what, because=because, do=do)


def _worst(work: Work) -> tuple[dict[str, Array], dict[str, float], dict[str, Array]]:
    """The inputs of the samples that differ most, the errors of the outputs on them, and the reference's answers."""
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
    whole = SCALES[work.outcome.precision].whole
    plain = {name: error(before[chosen], after[chosen], whole=whole) for name, (before, after) in pairs.items()}
    kept = {name: array[:count][chosen] for name, array in expected.items()}
    return {name: array[chosen] for name, array in feeds.items()}, {n: e for n, e in plain.items() if e > 0}, kept


def _chosen(pairs: Mapping[str, tuple[Array, Array]]) -> list[int]:
    chosen: list[int] = []
    for before, after in pairs.values():
        chosen += [index for index in worst_samples(before, after, SAMPLES) if index not in chosen]
    return sorted(chosen[:SAMPLES])


def search_of(bench: Bench, work: Work) -> Search:
    """A search over all that both files make, but constants, with room for what a plain run's memory allows."""
    flow = flow_of(bench.source)
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


def flow_of(graph: OnnxGraph) -> Flow:
    return Flow(nodes=[(node.inputs, node.outputs) for node in graph.nodes], ends=graph.outputs)
