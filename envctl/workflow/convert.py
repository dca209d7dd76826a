"""The jobs of one run: conversion and execution on the target, execution on the reference, comparison, delivery."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from envctl import model
from envctl.job import Result
from envctl.model import ModelFacts
from envctl.tree import disk_errors
from envctl.verify import compare, response, tolerance
from envctl.workflow import building, dataset, deliver, route, steps
from envctl.workflow.ask import Listener
from envctl.workflow.feeds import described, make_feeds
from envctl.workflow.outcome import Layers
from envctl.workflow.route import source_options
from envctl.workflow.task import executes, reference_for
from envctl.workflow.together import side_by_side
from envctl.workflow.work import Work

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

# the conversion, and the run of what it makes
Target: TypeAlias = "tuple[Future[Path], Future[Result]]"
NOT_EXECUTED = "built, not executed: "
CONSTANTS = ("Constant", "Const", "Placeholder", "Parameter", "Result")  # of any format: what computes nothing


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
    if work.ask.dataset:
        work.outcome.dataset = dataset.load(work)
    with _timed(work, "workers"), side_by_side(work.runner) as pool:
        target, reference = _start_target(work, pool), _start_reference(work, pool)
        feeds = make_feeds(work.ask, work.source, work.outcome)
        steps.write_inputs(work.folder / "reference", response.with_probes(feeds, work.ask.seed))
        steps.go(work.folder / "reference")
        answers, expected = _finish_target(work, target, feeds), _finish_reference(work, reference)
    with _timed(work, "comparison"):
        _judge(work, expected, answers, response.telling(feeds))


def judged_again(work: Work, expected: dict[str, Array], feeds: Mapping[str, Array]) -> compare.Verdict:
    """The verdict on the target's run of this work, against what the reference answered before."""
    with side_by_side(work.runner) as pool:
        answers = _finish_target(work, _start_target(work, pool), feeds)
    _judge(work, expected, answers, response.telling(feeds))
    assert work.outcome.verdict
    return work.outcome.verdict


def _judge(work: Work, expected: dict[str, Array], answers: dict[str, Array], probes: frozenset[str]) -> None:
    count = len(next(iter(answers.values())))
    row = tolerance.ROWS[work.outcome.precision].overridden(work.ask.atol, work.ask.cosine, work.ask.top1)
    responded = response.responses(expected, count, probes)
    compared = {name: array[:count] for name, array in expected.items()}
    ordered = in_order(compared, answers)
    verdict = compare.judge(compared, ordered, row, responded)
    work.outcome.verdict = verdict
    work.outcome.status = verdict.status
    work.outcome.note = "; ".join(verdict.reasons)
    if work.outcome.dataset:
        _measure(work, compared, ordered)


def _measure(work: Work, expected: dict[str, Array], answers: dict[str, Array]) -> None:
    """The task's metric, where the target's outputs have the shapes that it is taken on."""
    if [array.shape for array in expected.values()] == [array.shape for array in answers.values()]:
        named = dict(zip(expected, answers.values(), strict=True))
        work.outcome.metric = dataset.measured(work, expected, named)
    else:
        work.outcome.notes.append(f"{work.ask.metric} was not taken: the target's outputs have other shapes")


def in_order(reference: Mapping[str, Array], target: dict[str, Array]) -> dict[str, Array]:
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
    job.options.update(source_options(source))
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
    awaited = _awaited(work)
    if awaited.name == "artifact":
        with disk_errors(awaited):
            awaited.mkdir(parents=True)
    job = steps.job(work.folder / "infer", "infer", work.target, awaited, [], work.ask, work.limits)
    job.options.update(source_options(work.source), layers=True)
    job = replace(job, after=True, inputs=tuple(tensor.name for tensor in work.source.inputs))
    return pool.submit(_made, work), pool.submit(steps.run, job, work.target, work.runner)


def _awaited(work: Work) -> Path:
    """What the target will run: the model itself, or the folder in which a file is being made meanwhile."""
    if work.target.plan.spec.converts:
        return work.folder / "convert" / "artifact"
    return work.folder / route.FOLDER / "artifact" if work.outcome.route else work.source.path


def _made(work: Work) -> Path:
    """The model that the target runs, once it is there."""
    if work.target.plan.spec.converts:
        return building.build(work, route.passed(work)).artifacts[0]
    return route.passed(work).model.path


def _finish_target(work: Work, target: Target, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The target's outputs, and the precision that ran, read back. Where its channels come first, the inputs are turned
    for it and the outputs turned back."""
    converting, running = target
    made = converting.result()
    passed = route.passed(work)
    steps.write_inputs(work.folder / "infer", route.turn(feeds, passed.channels_first, route.TO_NCHW))
    steps.go(work.folder / "infer", made.name if made != work.source.path else "")
    work.outcome.results["infer"] = result = running.result()
    written = model.read(made) if made.suffix == ".onnx" else None
    work.outcome.precision = steps.precision_that_ran(result, written, work.ask, passed.model)
    work.outcome.layers = _layers(result, passed.model)
    return route.turn(steps.read_outputs(result), passed.channels_first, route.TO_NHWC)


def _layers(result: Result, taken: ModelFacts) -> Layers | None:
    """The layers before and after fusion, where the engine tells."""
    said = result.read_back
    if not said.get("layers", "").isdigit():
        return None
    low = said.get("int8_layers", "")
    return Layers(
        model=sum(count for (_, op), count in taken.op_counts.items() if op not in CONSTANTS),
        executed=int(said["layers"]),
        int8=int(low) if low.isdigit() else None,
        told_by=said.get("layers_by", ""),
    )


def _only_convert(work: Work, listener: Listener) -> None:
    listener.say(f"{work.target.plan.title} converts")
    with _timed(work, "workers"):
        _made(work)
    spec = work.target.plan.spec
    result = work.outcome.results.get("convert")
    if result and "precision" in result.read_back and spec.runs_on == "nvidia-gpu":
        source = route.passed(work).model
        work.outcome.precision = steps.precision_that_ran(result, None, work.ask, source)
    if executes(spec, work.host) or not work.ask.verify:
        work.outcome.status, work.outcome.note = "converted", "not verified, as asked (--no-verify)"
        return
    work.outcome.status = "built"
    gpu = work.host.value("gpu")
    why = f"this version of envctl does not execute {spec.title} (GPU here: {gpu})" if gpu else "no supported GPU"
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
