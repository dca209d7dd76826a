"""The step before the target: a model passes its framework's environment into a format that the target reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from envctl.errors import JobFailed, Reason
from envctl.job import Job, Limits, Result
from envctl.matrix import Matrix
from envctl.model import ModelFacts, Tensor
from envctl.request import Known
from envctl.routes import Route
from envctl.runner import Runner
from envctl.workflow import calibration, kept, steps
from envctl.workflow.ask import Ask
from envctl.workflow.of_file import with_file
from envctl.workflow.plan import Plan, plan
from envctl.workflow.prepare import Prepared
from envctl.workflow.source import read_source

if TYPE_CHECKING:
    import numpy as np

    from envctl.workflow.work import Work

    Array = np.ndarray[Any, np.dtype[Any]]

FOLDER = "route"
KIND = "converted"  # in the cache
HIGHEST = 40  # opset that is looked at; the newest there is in 2026 is 26
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """What came of the route: the model that the target takes, which of its tensors have channels first now, and
    whether it was `kept` from an earlier run."""

    model: ModelFacts
    channels_first: frozenset[str] = frozenset()
    kept: bool = False


def passing(ask: Ask) -> str:
    """The format that the model passes in any case: what was said, or ONNX where its layout or opset was."""
    return ask.through or ("onnx" if ask.layout or ask.opset else "")


def writable_opsets(matrix: Matrix, route: Route) -> tuple[str, ...]:
    """The opsets that the route, or some release of its writer, can write, best first; none where the format has
    none."""
    if not route.writer:
        return route.opsets
    claims = [claim for release in matrix.component(route.writer).releases for claim in release.requires]
    limits = [claim.condition for claim in claims if claim.name == "opset"]
    return tuple(str(n) for n in range(HIGHEST, 0, -1) if any(limit.admits(str(n)) for limit in limits))


def with_opset(known: dict[str, Known], opsets: tuple[str, ...], origin: str) -> dict[str, Known]:
    """The facts of a target whose model is still to be written in one of these opsets."""
    return known | {"opset": Known(values=opsets, origin=origin)} if opsets else known


def plan_route(
    matrix: Matrix, ask: Ask, facts: ModelFacts, route: Route, known: dict[str, Known], runner: Runner, target: Plan
) -> Plan:
    """The environment that the model passes, for an opset that the target reads too."""
    if route.writer:
        chosen = target.stack.choices.get("opset")  # of an engine that asks for none, any will do
        opsets = [each for each in writable_opsets(matrix, route) if ask.opset in ("", each)]
        opsets = [each for each in opsets if chosen is None or Version(each) <= Version(chosen.version)]
        known = with_opset(known, tuple(opsets), f"opsets that {target.title} reads")
    return with_file(facts, ask.via, lambda pins: plan(matrix, route.engine, pins, known, runner))


def source_options(facts: ModelFacts) -> dict[str, Any]:
    """What a source's adapter must know of the file: its format, signature and names, as read on the host."""
    return {
        "format": facts.format,
        "signature": facts.signature,
        "keras": facts.producer_version if facts.format.startswith("keras") else "",
        "inputs": [tensor.name for tensor in facts.inputs],
        "outputs": [tensor.name for tensor in facts.outputs],
        "tensors": {it.name: [it.dtype, list(it.shape)] for it in facts.inputs if it.shape is not None},
        "aliases": {it.key: it.name for it in (*facts.inputs, *facts.outputs) if it.key not in ("", it.name)},
    }


def passed(work: Work) -> Passed:
    """The model that the target takes: MODEL itself, or what its route makes of it."""
    if work.outcome.passed is None:
        route, prepared = work.outcome.route, work.outcome.source
        work.outcome.passed = _pass(work, route, prepared) if route and prepared else Passed(model=work.source)
    return work.outcome.passed


def _pass(work: Work, route: Route, prepared: Prepared) -> Passed:
    job = _job(work.ask, work.source, route, prepared, work.target.plan, work.folder, work.limits)
    parts = _depends_on(job, prepared, work.source)
    if route.quantises and calibration.needed(work.ask, work.source):
        parts |= calibration.identity(work)
        feeds = calibration.of(work).arrays
        steps.write_inputs(job.folder, feeds)
        job.options["calibration"] = list(feeds)
    name = kept.name_of(parts)
    found = kept.find(KIND, name, job.folder)
    work.outcome.results[FOLDER] = result = found or steps.run(job, prepared, work.runner)
    made = checked(work.source, route, result)
    work.outcome.notes += _still_turned(made)
    if not found:
        kept.keep(KIND, name, parts, result)
    return replace(made, kept=found is not None)


def _still_turned(made: Passed) -> list[str]:
    """A note where channels were put first and the graph moves axes all the same: inside an operation, say."""
    left = sum(number for (_, name), number in made.model.op_counts.items() if name == "Transpose")
    return [f"{left} Transpose left in the graph with channels first"] if made.channels_first and left else []


def _job(
    ask: Ask, source: ModelFacts, route: Route, prepared: Prepared, target: Plan, folder: Path, limits: Limits
) -> Job:
    job = steps.job(folder / FOLDER, "convert", prepared, source.path, [], ask, limits)
    job.options.update(source_options(source), to=route.to, nchw=ask.layout == "nchw")
    if route.writer:
        job.options["opset"] = prepared.plan.stack.version("opset")
    elif route.opsets:
        job.options["opset"] = _own_opset(ask, route, target)
    return replace(job, adapter=route.adapter)


def made_before(ask: Ask, source: ModelFacts, route: Route, prepared: Prepared, target: Plan) -> bool:
    """Whether what the route makes is kept from an earlier run; nothing is touched."""
    job = _job(ask, source, route, prepared, target, Path(), Limits(memory=0, seconds=0))
    return kept.has(KIND, kept.name_of(_depends_on(job, prepared, source)))


def _own_opset(ask: Ask, route: Route, target: Plan) -> str:
    """The best opset of those that the route itself says: the target's, or of an engine that asks for none any."""
    chosen = target.stack.choices.get("opset")
    return chosen.version if chosen else next(each for each in route.opsets if ask.opset in ("", each))


def _depends_on(job: Job, prepared: Prepared, source: ModelFacts) -> dict[str, Any]:
    """Everything that the route's model depends on; a job's threads decide when it ends, not what it makes."""
    options = {name: value for name, value in job.options.items() if name != "threads"}
    lock = prepared.environment.lock.digest
    return {"source": source.sha256, "lock": lock, "adapter": job.adapter, "options": options}


def checked(source: ModelFacts, route: Route, result: Result) -> Passed:
    """What the route made, read as any model is; raises `JobFailed` where it is not the model that went in."""
    made = read_source(result.artifacts[0])
    turned = frozenset(json.loads(result.read_back.get("channels_first", "[]")))
    if made.format != route.to:
        raise JobFailed(f"{route.adapter} wrote {made.format}, not {route.to}")
    for kind, before, after in (("inputs", source.inputs, made.inputs), ("outputs", source.outputs, made.outputs)):
        if route.to == "onnx" and not _same(before, after):
            because = [
                Reason(text="; ".join(map(str, before)), source=source.path.name),
                Reason(text="; ".join(map(str, after)), source=route.adapter),
            ]
            raise JobFailed(f"the {kind} are others after {route.adapter}", because=because)
    return Passed(model=made, channels_first=turned)


def _same(before: tuple[Tensor, ...], after: tuple[Tensor, ...]) -> bool:
    """Names, types and ranks, as far as the source tells them: converters settle sizes that it leaves open."""
    found = {tensor.name: tensor for tensor in after}
    known = [(tensor, found[tensor.name]) for tensor in before if tensor.name in found]
    ranks = [(len(a.shape), len(b.shape)) for a, b in known if a.shape is not None and b.shape is not None]
    types = all(a.dtype in ("", b.dtype) for a, b in known)
    return len(known) == len(before) == len(after) and types and all(a == b for a, b in ranks)


def turn(arrays: Mapping[str, Array], names: frozenset[str], order: tuple[int, ...]) -> dict[str, Array]:
    """The arrays, those of `names` with their axes behind the samples and the batch in another order."""
    axes = (0, *(each + 1 for each in order))
    return {name: array.transpose(axes) if name in names else array for name, array in arrays.items()}
