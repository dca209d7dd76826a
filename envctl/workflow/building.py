"""The conversion of one run: the model, or its copy with the precision in its types, by the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from envctl.job import Job, Result
from envctl.model import ModelFacts
from envctl.workflow import built_engines, calibration, deliver, shapes, steps, typed
from envctl.workflow.plan import check_operators
from envctl.workflow.route import Passed
from envctl.workflow.work import Work


def build(work: Work, passed: Passed) -> Result:
    """What the conversion of the model made, which has `passed` its route; engines built for GPUs are kept, and found
    again by all they depend on."""
    spec, outcome, source = work.target.plan.spec, work.outcome, passed.model
    if source is not work.source:
        check_operators(work.target.plan, source)
    job = _job(work, source)
    key = None
    if spec.runs_on == "nvidia-gpu":
        key = built_engines.key_for(source, work.target, job.options | calibration.identity(work), work.host)
    if spec.ahead_of_time:  # what it builds is for these sizes and no others
        outcome.notes += shapes.open_sizes(work.ask, source)
    if tools := typed.wanted(work.ask, source, work.target):
        outcome.notes.append(typed.note(tools, work.ask))
    result = built_engines.find(key, job.folder) if key else None
    outcome.results["convert"] = result = result or _made(work, passed, job, key)
    return result


def _job(work: Work, source: ModelFacts) -> Job:
    """The job of the conversion, from the model itself."""
    ask, prepared = work.ask, work.target
    job = steps.job(work.folder / "convert", "convert", prepared, source.path, source.files()[1:], ask, work.limits)
    by_types = typed.wanted(ask, source, prepared) is not None
    job.options.update(
        format=source.format,
        declared={it.name: it.dtype for it in source.inputs},
        may_cast=ask.precision == "fp32",  # said in so many words: float64 may become that
        by_flag=not by_types and ask.precision not in (None, "fp32", source.precision()),
    )
    if {ask.precision, source.precision()} & {"fp16", "bf16"}:
        job.options["half"] = True  # the graph that is converted has such types, written by a step before or its own
    if ask.keep_layers:
        job.options["keep_layers"] = list(ask.keep_layers)  # another engine comes of them
    if source.external:
        job.options["data"] = _beside(work)
    return job


def _beside(work: Work) -> str:
    """The name by which weights beside the artifact will be delivered."""
    return f"{deliver.stem(work.source, work.target.plan.spec)}.data"


def _asked_first(work: Work, passed: Passed) -> None:
    """Raise what the engine lacks before samples are run through the model to quantise it."""
    if work.ask.precision == "int8":
        job = replace(_job(work, passed.model), folder=work.folder / "ask", step="ask")
        steps.run(job, work.target, work.runner)


def _made(work: Work, passed: Passed, job: Job, key: built_engines.Key | None) -> Result:
    """Run the conversion, after the step that writes the types where there is one."""
    if tools := typed.wanted(work.ask, passed.model, work.target):
        _asked_first(work, passed)
        files: list[Path] = [path.resolve() for path in typed.make(work, tools, passed)]
        options = {name: value for name, value in job.options.items() if name != "data"}
        options |= {"data": _beside(work)} if files[1:] else {}  # the step before puts weights into the graph if it can
        job = replace(job, source=files[0], companions=tuple(files[1:]), options=options)
    if key is None:
        result = steps.run(job, work.target, work.runner)
        if tools:
            typed.check_made(work.ask, result)
        return result
    built_engines.lend_timing(key, job, work.ask)
    result = built_engines.take_timing(key, steps.run(job, work.target, work.runner), work.ask)
    built_engines.keep(key, result)
    return result
