"""The conversion of one run: the model, or its copy with the precision in its types, by the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from envctl.host import HostFacts
from envctl.job import Job, Limits, Result
from envctl.model import ModelFacts
from envctl.runner import Runner
from envctl.workflow import deliver, plans, shapes, steps, typed
from envctl.workflow.ask import Ask
from envctl.workflow.outcome import Outcome
from envctl.workflow.prepare import Prepared


@dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """Where the workers of a conversion run: the engine's environment, runner, the run's folder, the caps on each."""

    prepared: Prepared
    runner: Runner
    folder: Path
    limits: Limits


def build(ask: Ask, source: ModelFacts, workers: Workers, host: HostFacts, outcome: Outcome) -> Result:
    """What the conversion made; engines built for GPUs are kept, and found again by all that they depend on."""
    outcome.notes += shapes.open_sizes(ask, source)
    spec = workers.prepared.plan.spec
    job = _job(ask, source, workers)
    key = None
    if spec.runs_on == "nvidia-gpu":
        key = plans.key_for(source, workers.prepared, job.options | typed.identity(ask), host)
    if tools := typed.wanted(ask, source, workers.prepared):
        outcome.notes += typed.notes(tools, ask, source)
    result = plans.find(key, job.folder) if key else None
    result = result or _made(ask, source, workers, job, key, outcome)
    outcome.results["convert"] = result
    return result


def _job(ask: Ask, source: ModelFacts, workers: Workers) -> Job:
    """The job of the conversion, from the model itself."""
    prepared, folder = workers.prepared, workers.folder / "convert"
    job = steps.job(folder, "convert", prepared, source.path, source.files()[1:], ask, workers.limits)
    by_types = typed.wanted(ask, source, prepared) is not None
    job.options.update(
        declared={it.name: it.dtype for it in source.inputs},
        may_cast=ask.precision == "fp32",  # said in so many words: float64 may become that
        by_flag=not by_types and ask.precision not in (None, "fp32", source.precision()),
    )
    if source.external:
        job.options["data"] = f"{deliver.stem(source, prepared.plan.spec)}.data"
    return job


def _made(ask: Ask, source: ModelFacts, workers: Workers, job: Job, key: plans.Key | None, outcome: Outcome) -> Result:
    """Run the conversion, after the step that writes the types where there is one."""
    if tools := typed.wanted(ask, source, workers.prepared):
        there = workers.folder / "types"
        made = typed.make(tools, there, workers.prepared, source, ask, workers.limits, workers.runner, outcome)
        files: list[Path] = [path.resolve() for path in made.files()]
        job = replace(job, source=files[0], companions=tuple(files[1:]))
    if key is None:
        return steps.run(job, workers.prepared, workers.runner)
    plans.lend_timing(key, job, ask)
    result = plans.take_timing(key, steps.run(job, workers.prepared, workers.runner), ask)
    plans.keep(key, result)
    return result
