"""The jobs of one run: conversion and execution on the target, execution on the reference, comparison, delivery."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from envctl import model
from envctl.errors import BadInput, HostLacks, Reason
from envctl.host import HostFacts
from envctl.job import Limits, Result
from envctl.model import ModelFacts
from envctl.runner import Runner
from envctl.spec import read_spec
from envctl.tree import disk_errors
from envctl.verify import compare, inputs, response, tolerance
from envctl.workflow import deliver, steps
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.ends import check_ends
from envctl.workflow.feeds import described, make_feeds
from envctl.workflow.outcome import Outcome
from envctl.workflow.prepare import Prepared
from envctl.workflow.together import side_by_side

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

# the conversion, and the run of what it makes
Target: TypeAlias = "tuple[Future[Result], Future[Result]]"
NOT_EXECUTED = "built, not executed: "


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Everything a run has when its environments are there."""

    ask: Ask
    outcome: Outcome
    host: HostFacts
    runner: Runner
    folder: Path

    @property
    def target(self) -> Prepared:
        """The engine that was asked for."""
        assert self.outcome.target
        return self.outcome.target

    @property
    def source(self) -> ModelFacts:
        """The user's model."""
        assert self.outcome.model
        return self.outcome.model

    @property
    def limits(self) -> Limits:
        """The caps on each worker."""
        return steps.limits(self.ask, int(self.host.value("memory_limit") or self.host.value("memory") or 8 << 30))


def check_target(ask: Ask, facts: ModelFacts) -> None:
    """Raise before anything is made when the answer could not be delivered."""
    spec = read_spec(ask.engine)
    if not spec.adapter:
        do = ["its environment can be locked (envctl lock) and used by a command of yours (envctl run … -- COMMAND)"]
        raise BadInput(f"envctl cannot convert or run models with {spec.title} yet", do=do)
    if facts.format not in spec.formats:
        raise BadInput(f"{spec.title} does not read {facts.format} models")
    check_ends(spec, facts)
    if ask.task == "infer" and spec.runs_on != "cpu":
        do = ["convert it here (ahead of time), run it where the GPU is"]
        raise HostLacks(f"{spec.title} runs on an NVIDIA GPU, and this version of envctl runs on CPUs", do=do)
    if ask.task == "convert":
        deliver.check_folder(ask, facts, spec)
    if ask.task == "infer" and ask.output:
        deliver.check_file(ask.output)
    for tensor in facts.inputs:
        inputs.concrete(tensor, ask.shapes)
    unknown = sorted(set(ask.shapes) - {tensor.name for tensor in facts.inputs})
    if unknown:
        names = ", ".join(tensor.name for tensor in facts.inputs)
        raise BadInput(f"--shape {unknown[0]}: the model has no such input", do=[f"its inputs: {names}"])


def will_compare(ask: Ask, host: HostFacts) -> bool:  # noqa: ARG001 - a GPU will matter here
    """Whether target and reference will both be executed and compared."""
    executes = read_spec(ask.engine).runs_on == "cpu"
    return executes and (ask.task == "verify" or (ask.task == "convert" and ask.verify))


def reference_for(ask: Ask, facts: ModelFacts) -> ModelFacts:
    """The model that says what is right: MODEL itself, or --reference; raises when that takes other inputs."""
    if ask.reference_model is None:
        return facts
    found = model.read(ask.reference_model)
    if {tensor.name for tensor in found.inputs} != {tensor.name for tensor in facts.inputs}:
        because = [Reason(text="; ".join(map(str, each.inputs)), source=each.path.name) for each in (facts, found)]
        do = ["give two models with the same inputs: both are run on the same numbers"]
        raise BadInput(f"--reference {found.path} has other inputs than the model", because=because, do=do)
    return found


def perform(work: Work, listener: Listener) -> None:
    """Do the task; what came of it is written into `work.outcome`."""
    if work.outcome.reference:
        _compare(work, listener)
    elif work.ask.task == "infer":
        _infer(work, listener)
    else:
        _only_convert(work, listener)
    if work.ask.task == "convert" and work.outcome.status in ("passed", "built", "converted"):
        with _timed(work, "delivery"):
            deliver.deliver(work.outcome, work.ask, work.host)


def _compare(work: Work, listener: Listener) -> None:
    """Both engines side by side on the same inputs, then the verdict."""
    listener.say(f"{work.target.plan.title} converts and runs; the reference runs beside it")
    with _timed(work, "workers"), side_by_side(work.runner) as pool:
        target, reference = _start_target(work, pool), _start_reference(work, pool)
        feeds = make_feeds(work.ask, work.source, work.outcome)
        steps.write_inputs(work.folder / "reference", response.with_probes(feeds, work.ask.seed))
        steps.go(work.folder / "reference")
        answers, expected = _finish_target(work, target, feeds), _finish_reference(work, reference)
    with _timed(work, "comparison"):
        _judge(work, expected, answers, response.telling(feeds))


def _judge(work: Work, expected: dict[str, Array], answers: dict[str, Array], probes: frozenset[str]) -> None:
    count = len(next(iter(answers.values())))
    row = tolerance.ROWS[work.outcome.precision].overridden(work.ask.atol, work.ask.cosine, work.ask.top1)
    responded = response.responses(expected, count, probes)
    compared = {name: array[:count] for name, array in expected.items()}
    verdict = compare.judge(compared, _in_order(compared, answers), row, responded)
    work.outcome.verdict = verdict
    work.outcome.status = verdict.status
    work.outcome.note = "; ".join(verdict.reasons)


def _in_order(reference: Mapping[str, Array], target: dict[str, Array]) -> dict[str, Array]:
    """The target's outputs in the reference's order: by name where all names are known, else by index."""
    if set(reference) == set(target):
        return {name: target[name] for name in reference}
    return target


def _start_reference(work: Work, pool: ThreadPoolExecutor) -> Future[Result]:
    """Start the reference; it imports its engine while the inputs are made (verify.response's probes among them)."""
    assert work.outcome.reference
    source = reference_for(work.ask, work.source)
    prepared, folder = work.outcome.reference, work.folder / "reference"
    job = steps.job(folder, "infer", prepared, source.path, source.files()[1:], work.ask, work.limits)
    # where ONNX Runtime is under test, its own optimiser must not vouch for itself
    same = work.target.plan.spec.adapter == prepared.plan.spec.adapter
    threads = work.ask.threads or max(1, int(work.host.value("cores") or 2) // 2)
    job.options.update(optimise=not same, beside_another=True, precision="fp32", threads=threads)
    job = replace(job, after=True, inputs=tuple(tensor.name for tensor in work.source.inputs))
    return pool.submit(steps.run, job, prepared, work.runner)


def _finish_reference(work: Work, running: Future[Result]) -> dict[str, Array]:
    work.outcome.results["reference"] = result = running.result()
    return steps.read_outputs(result)


def _start_target(work: Work, pool: ThreadPoolExecutor) -> Target:
    """Start the conversion, which needs no inputs, and beside it the worker that will run what it makes: that one
    imports its engine meanwhile."""
    artifact = work.folder / "convert" / "artifact"
    with disk_errors(artifact):
        artifact.mkdir(parents=True)
    job = steps.job(work.folder / "infer", "infer", work.target, artifact, [], work.ask, work.limits)
    job = replace(job, after=True, inputs=tuple(tensor.name for tensor in work.source.inputs))
    return pool.submit(_convert, work), pool.submit(steps.run, job, work.target, work.runner)


def _finish_target(work: Work, target: Target, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The target's outputs, and the precision that ran, read back."""
    converting, running = target
    steps.write_inputs(work.folder / "infer", feeds)
    made = converting.result().artifacts[0]
    steps.go(work.folder / "infer", made.name)
    work.outcome.results["infer"] = result = running.result()
    written = model.read(made) if made.suffix == ".onnx" else None
    work.outcome.precision = steps.precision_that_ran(result, written, work.ask, work.source)
    return steps.read_outputs(result)


def _convert(work: Work) -> Result:
    job = steps.job(
        work.folder / "convert",
        "convert",
        work.target,
        work.source.path,
        work.source.files()[1:],
        work.ask,
        work.limits,
    )
    if work.source.external:
        job.options["data"] = f"{deliver.stem(work.source, work.target.plan.spec)}.data"
    result = steps.run(job, work.target, work.runner)
    work.outcome.results["convert"] = result
    return result


def _only_convert(work: Work, listener: Listener) -> None:
    listener.say(f"{work.target.plan.title} converts")
    with _timed(work, "workers"):
        _convert(work)
    if work.target.plan.spec.runs_on == "cpu" or not work.ask.verify:
        work.outcome.status, work.outcome.note = "converted", "not verified, as asked (--no-verify)"
        return
    work.outcome.status = "built"
    gpu = work.host.value("gpu")
    why = "no supported GPU" if not gpu else f"this version of envctl does not execute on GPUs (here: {gpu})"
    work.outcome.note = NOT_EXECUTED + why


def _infer(work: Work, listener: Listener) -> None:
    listener.say(f"{work.target.plan.title} converts and runs")
    with _timed(work, "workers"), side_by_side(work.runner) as pool:
        target = _start_target(work, pool)
        answers = _finish_target(work, target, make_feeds(work.ask, work.source, work.outcome))
    work.outcome.status = "ran"
    work.outcome.outputs = [described(name, array) for name, array in answers.items()]
    if work.ask.output:
        deliver.save_arrays(work.ask.output, answers)
        work.outcome.artifacts.append(work.ask.output)


@contextmanager
def _timed(work: Work, name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    work.outcome.seconds[name] = time.perf_counter() - began
