"""The step before a conversion that writes a precision into the graph's types, for engines that go by those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from envctl import model
from envctl.errors import BadInput, JobFailed, Reason
from envctl.job import Result
from envctl.model import ModelFacts
from envctl.recipe import GraphTypes
from envctl.routes import Route
from envctl.spec import ImageSpec
from envctl.workflow import calibration, quantised, steps
from envctl.workflow.ask import Ask
from envctl.workflow.prepare import Prepared
from envctl.workflow.route import TO_NCHW, Passed, source_options, turn

if TYPE_CHECKING:
    from envctl.workflow.work import Work

FOLDER = "types"


def wanted(ask: Ask, facts: ModelFacts, prepared: Prepared) -> GraphTypes | None:
    """How the graph comes to the precision that was asked for; None where it has it, or the engine another way."""
    if ask.precision in (None, "fp32", facts.precision()):
        return None
    spec = prepared.plan.spec
    return spec.typed(prepared.plan.stack.version(spec.engine), ask.precision)


def check(ask: Ask, facts: ModelFacts, spec: ImageSpec, way: Route | None) -> None:
    """Raise before anything is made: int8 without samples, or a quantisation that the engine refuses."""
    if spec.symmetric and facts.precision() == "int8":
        quantised.check(facts.path, spec.title, spec.symmetric)
    if ask.precision in spec.precisions and calibration.needed(ask, facts) and not _quantised(spec, way):
        do = ["give the model of the framework that the file was made from: it is quantised on the way"]
        what = f"{spec.title} runs {facts.path.name} in the precision that it has, which is {facts.precision()}"
        raise BadInput(what, do=do)
    if ask.precision in (None, *spec.precisions):
        calibration.check(ask, facts)


def _quantised(spec: ImageSpec, way: Route | None) -> bool:
    return spec.quantises or bool(way and way.quantises)


def make(work: Work, tools: GraphTypes, passed: Passed) -> list[Path]:
    """The files of the model with the types written into it, checked: the file must state the precision that was asked
    for."""
    ask, folder, facts = work.ask, work.folder / FOLDER, passed.model
    job = steps.job(folder, "convert", work.target, facts.path, facts.files()[1:], ask, work.limits)
    job.options.update(source_options(facts), keep_float32=list(tools.keep_float32))
    job.options["keep_nodes"] = list(ask.keep_layers)
    job.options["symmetric"] = bool(work.target.plan.spec.symmetric)
    if ask.precision == "int8":
        feeds = turn(calibration.of(work).arrays, passed.channels_first, TO_NCHW)
        steps.write_inputs(folder, feeds)
        job.options.update(calibration=list(feeds))
    work.outcome.results[FOLDER] = result = steps.run(replace(job, adapter=tools.adapter), work.target, work.runner)
    check_made(ask, result)
    return model.inspect(result.artifacts[0]).files()


def check_made(ask: Ask, result: Result) -> None:
    """Raise where the types were written for that precision, and the ONNX file that came out states another."""
    path = result.artifacts[0]
    if path.suffix != ".onnx":
        return
    precision = model.inspect(path).precision()
    if precision != ask.precision:
        because = [Reason(text=f"the graph that came out is {precision}", source=str(path))]
        raise JobFailed(
            f"{ask.model.name if ask.model else path.name} could not be made {ask.precision}", because=because
        )


def note(tools: GraphTypes, ask: Ask) -> str:
    """What the result must say of the step."""
    return f"{ask.precision} is written into the graph by a step before ({tools.source})"
