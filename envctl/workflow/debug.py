"""`envctl debug`: where target and reference part. The run that is verified first, then runs with marked tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envctl import host as host_module
from envctl.debug.error import SCALES
from envctl.debug.hunt import Finding, hunt, nearest
from envctl.debug.search import Search
from envctl.errors import BadInput
from envctl.workflow import convert, debug_elsewhere, debug_layers, debug_told, route, run
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.debug_bench import Bench, array_of
from envctl.workflow.debug_elsewhere import NOT_ENGINE, Elsewhere
from envctl.workflow.debug_layers import Mixed
from envctl.workflow.debug_setup import bench_of, flow_of, search_of
from envctl.workflow.debug_told import Suspect
from envctl.workflow.outcome import Outcome
from envctl.workflow.source import read_source
from envctl.workflow.work import Work

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

Status = Literal["agrees", "refused", "route", "node", "company", "gradual", "unfinished"]


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
    elif versions is None and told.status in ("node", "company") and not told.blamed.startswith(NOT_ENGINE):
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
    bench, expected = bench_of(work, listener)
    told.blamed = _route_parts(bench, expected)
    if told.blamed:
        told.status = "route"
        return told
    if not bench.plain:
        told.status, told.notes = "gradual", ["the outputs differ by less than can be followed through the graph"]
        return told
    search = search_of(bench, work)
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


def _route_parts(bench: Bench, expected: Mapping[str, Array]) -> str:
    """Whether the step to ONNX is at fault: what ONNX Runtime makes of the file that came out. "" where it is not."""
    route_ = bench.work.outcome.route
    if route_ is None:
        return ""
    answers = bench.on_reference(bench.source, [])
    pairs = [(name, array_of(answer)) for name, answer in zip(bench.source.outputs, answers, strict=False)]
    turned = route.turn(dict(pairs), route.passed(bench.work).channels_first, route.TO_NHWC)
    apart = {name: bench.apart(expected[name], turned[name]) for name in bench.plain if name in turned}
    noise, share = SCALES[bench.work.outcome.precision].noise, debug_elsewhere.OWN_FAULT
    if not any(each >= max(noise, share * bench.plain[name]) for name, each in apart.items()):
        return ""
    told = f"{bench.reference.plan.title} parts from the framework as well (error {max(apart.values()):.1e})"
    return f"the step to ONNX ({route_.adapter}): {told}"


def _alone(bench: Bench, search: Search, tensor: str) -> float | None:
    """Run what makes the tensor by itself: on the tensors that were measured next before it, or the model's inputs."""
    flow = flow_of(bench.target)
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
    if finding.kind in ("node", "company"):
        told.suspects = debug_told.suspects(bench.source, bench.target, finding.tensor, nearest(search, finding.tensor))
    plain = {name: each.peak_memory for name, each in bench.work.outcome.results.items()}
    told.memory = {name: (peak, plain[name]) for name, peak in bench.peaks.items() if plain.get(name)}
    told.notes = [*bench.notes, *(f"{name} could not be measured: {why}" for name, why in search.unmeasured.items())]
