"""What a run would do, and nothing done: steps, environments, precision and tolerance, and what is there already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from envctl import host as host_module
from envctl import matrix, routes
from envctl.environment import Environment
from envctl.host import HostFacts
from envctl.lock import Lock
from envctl.model import ModelFacts
from envctl.runner import Runner
from envctl.verify.tolerance import ROWS, Tolerance
from envctl.workflow import calibration, deliver, remedies, route, samples
from envctl.workflow.ask import SEEDED, Ask
from envctl.workflow.environments import Plans, plans_for
from envctl.workflow.outcome import model_data, plan_data
from envctl.workflow.plan import Plan, choose_runner
from envctl.workflow.prepare import Prepared, kept_lock
from envctl.workflow.source import read_source
from envctl.workflow.task import check_host, check_target, executes

LOWEST_FIRST = ("int8", "bf16", "fp16", "fp32")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """An environment of the run: its `lock` where the same was asked before (None: to be resolved), and whether it is
    made already (None: not looked into)."""

    role: str
    plan: Plan
    lock: Lock | None
    made: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """A run that was not begun. `steps` are (name, what it does); `way` is how the precision comes about; `doubts` are
    what may end it on the way, and cannot be known before."""

    task: str
    model: ModelFacts
    runner: str
    runner_why: str
    parts: tuple[Part, ...]
    steps: tuple[tuple[str, str], ...]
    precision: str
    way: str
    tolerance: Tolerance | None
    doubts: tuple[str, ...] = ()


def preview(ask: Ask, probes: host_module.Probes) -> Preview:
    """What `run` would do; what can be foreseen to fail is raised, as it would be."""
    assert ask.model
    model = read_source(ask.model)
    check_target(ask, model)
    host = host_module.collect(probes)
    check_host(ask, host)
    runner, why = choose_runner(ask.runner)
    plans = plans_for(matrix.load(), ask, model, host, runner)
    precision = min(ask.precision or "fp32", model.precision(), key=LOWEST_FIRST.index)
    row = ROWS[precision].overridden(ask.atol, ask.cosine, ask.top1) if plans.reference else None
    return Preview(
        task=ask.task,
        model=model,
        runner=runner.name,
        runner_why=why,
        parts=tuple(_part(role, plan, host, runner) for role, plan in plans.by_role()),
        steps=tuple(_steps(ask, model, plans, host)),
        precision=precision,
        way=_way(ask, model, plans),
        tolerance=row,
        doubts=tuple(_doubts(model, plans)),
    )


def _doubts(model: ModelFacts, plans: Plans) -> Iterator[str]:
    """A framework's operators that the writer of the route has no rule for, by the file: some vanish on the way."""
    known = routes.rules(plans.route.writer) if plans.route and plans.route.writer else None
    if known and model.format in remedies.FRAMEWORKS:
        ops = {name for _, name in model.ops - model.functions} - set(known.operators) - routes.VANISHING
        if ops:
            named = remedies.listed(frozenset(ops))
            yield f"{known.writer} {known.release} has no rule for {named}: the route ends there if nothing removes it"


def _part(role: str, plan: Plan, host: HostFacts, runner: Runner) -> Part:
    lock = plan.locked or kept_lock(plan, host)
    return Part(role=role, plan=plan, lock=lock, made=runner.has(lock) if lock else False)


def _steps(ask: Ask, model: ModelFacts, plans: Plans, host: HostFacts) -> Iterator[tuple[str, str]]:
    target, spec = plans.target, plans.target.spec
    if calibration.needed(ask, model):
        reader = " by a worker with numpy and Pillow" if samples.wants_worker(ask.calibration) else ""
        seeded = ask.calibration == SEEDED
        yield "calibration", "random samples are made" if seeded else f"samples of {ask.calibration} are read{reader}"
    if plans.route and plans.source:
        before = ", made before" if _made_before(ask, model, plans, host) else ""
        what = f"{model.format} becomes {plans.route.to} in {plans.source.title} ({plans.route.adapter}){before}"
        yield "route", what
    if plans.tools:
        yield "types", f"{ask.precision} is written into the graph ({plans.tools.adapter}: {plans.tools.source})"
    if spec.converts:
        yield "convert", f"{target.title} converts ({spec.adapter})"
    if plans.reference or ask.task == "infer":
        yield "infer", f"{target.title} runs it on {ask.input or f'{ask.samples} samples from seed {ask.seed}'}"
    if plans.reference:
        yield "reference", f"{plans.reference.title} runs {(ask.reference_model or model.path).name} on the same"
        yield "comparison", "every output is judged, all limits of the precision's row together"
    elif ask.task == "convert" and not executes(spec, host):
        yield "comparison", "none: it is built, not executed, as there is no GPU that envctl could use"
    if ask.task == "convert":
        yield "delivery", f"artifact and sidecar go to {deliver.folder_for(ask)}"


def _made_before(ask: Ask, model: ModelFacts, plans: Plans, host: HostFacts) -> bool:
    """Whether the route's model is kept; of one that is calibrated nothing is said, as its samples are not read."""
    lock = kept_lock(plans.source, host) if plans.source else None
    if not (lock and plans.route and plans.source) or (plans.route.quantises and calibration.needed(ask, model)):
        return False
    prepared = Prepared(plan=plans.source, environment=Environment(lock=lock, folder=Path()))
    return route.made_before(ask, model, plans.route, prepared, plans.target)


def _way(ask: Ask, model: ModelFacts, plans: Plans) -> str:
    wanted = ask.precision or "fp32"
    if plans.tools:
        return "types in the graph, written by a step before"
    if model.precision() == wanted:
        return "the model's own types"
    if plans.route and plans.route.quantises and wanted != "fp32":
        return f"written by the route ({plans.route.adapter})"
    return "asked of the engine" if ask.precision else f"the model's own types ({model.precision()})"


def as_data(found: Preview) -> dict[str, Any]:
    """The preview for `--json`."""
    return {
        "task": found.task,
        "status": "planned",
        "model": model_data(found.model),
        "runner": {"name": found.runner, "why": found.runner_why},
        "steps": [{"step": step, "what": what} for step, what in found.steps],
        "environments": {part.role: _part_data(part) for part in found.parts},
        "precision": {"expected": found.precision, "way": found.way},
        "tolerance": asdict(found.tolerance) if found.tolerance else None,
        "doubts": list(found.doubts),
    }


def _part_data(part: Part) -> dict[str, Any]:
    locked = {"lock": part.lock.digest if part.lock else None, "made": part.made}
    return plan_data(part.plan) | locked
