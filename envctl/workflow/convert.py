"""The jobs of one run: conversion and execution on the target, execution on the reference, comparison, delivery."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl import model
from envctl.errors import BadInput, HostLacks, Reason
from envctl.host import HostFacts
from envctl.job import Limits, Result
from envctl.model import ModelFacts
from envctl.runner import Runner
from envctl.spec import read_spec
from envctl.verify import compare, inputs, response, tolerance
from envctl.workflow import deliver, steps
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.outcome import Outcome
from envctl.workflow.prepare import Prepared

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

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
    if facts.format not in spec.formats:
        raise BadInput(f"{spec.title} does not read {facts.format} models")
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
    """Both engines side by side; the conversion, which needs no inputs, runs while they are made."""
    listener.say(f"{work.target.plan.title} converts and runs; the reference runs beside it")
    with _timed(work, "workers"), side_by_side(work.runner) as pool:
        converting = pool.submit(_convert, work)
        feeds = _inputs(work)
        reference = pool.submit(_run_reference, work, feeds)
        # whichever fails first ends both: side_by_side kills the other
        answers = _run_target(work, converting.result(), feeds)
        expected = reference.result()
    with _timed(work, "comparison"):
        _judge(work, expected, answers)


def _judge(work: Work, expected: dict[str, Array], answers: dict[str, Array]) -> None:
    count = len(next(iter(answers.values())))
    row = tolerance.ROWS[work.outcome.precision].overridden(work.ask.atol, work.ask.cosine, work.ask.top1)
    responded = response.responses(expected, count)
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


def _inputs(work: Work) -> dict[str, Array]:
    ask, source = work.ask, work.source
    if ask.input is None:
        work.outcome.inputs = f"{ask.samples} samples from seed {ask.seed}"
        return inputs.seeded(source.inputs, ask.shapes, seed=ask.seed, samples=ask.samples)
    feeds = inputs.checked(_load(ask.input), source.inputs)
    work.outcome.inputs = f"{len(next(iter(feeds.values())))} samples from {ask.input}"
    return feeds


def _load(path: Path) -> dict[str, Array]:
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise BadInput(f"no such file: {path}", do=["give an .npz file, or 'seeded'"]) from error
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError) as error:
        do = ["save the inputs with numpy.savez(FILE, name=array, …)"]
        raise BadInput(f"{path} is not an .npz file", because=[Reason(text=str(error)[:200])], do=do) from error


def _run_reference(work: Work, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The reference's outputs on the inputs and on the probes (verify.response), without graph optimisations."""
    assert work.outcome.reference
    source = model.read(work.ask.reference_model) if work.ask.reference_model else work.source
    prepared, folder = work.outcome.reference, work.folder / "reference"
    job = steps.job(folder, "infer", prepared, source.path, source.files()[1:], work.ask, work.limits)
    job.options.update(optimise=False, beside_another=True, precision="fp32")
    job = steps.with_inputs(job, response.with_probes(feeds, work.ask.seed))
    result = steps.run(job, prepared, work.runner)
    work.outcome.results["reference"] = result
    return steps.read_outputs(result)


def _run_target(work: Work, converted: Result, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run what was made, and read back the precision that ran."""
    artifacts = list(converted.artifacts)
    job = steps.job(work.folder / "infer", "infer", work.target, artifacts[0], artifacts[1:], work.ask, work.limits)
    result = steps.run(steps.with_inputs(job, feeds), work.target, work.runner)
    work.outcome.results["infer"] = result
    written = model.read(artifacts[0]) if artifacts[0].suffix == ".onnx" else None
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
    feeds = _inputs(work)
    listener.say(f"{work.target.plan.title} converts and runs")
    with _timed(work, "workers"):
        answers = _run_target(work, _convert(work), feeds)
    work.outcome.status = "ran"
    if work.ask.output:
        deliver.save_arrays(work.ask.output, answers)
        work.outcome.artifacts.append(work.ask.output)


@contextmanager
def _timed(work: Work, name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    work.outcome.seconds[name] = time.perf_counter() - began


@contextmanager
def side_by_side(runner: Runner) -> Iterator[ThreadPoolExecutor]:
    """Two threads for two workers; whatever ends the block early (Ctrl-C too) ends the workers."""
    pool = ThreadPoolExecutor(2)
    try:
        yield pool
    except BaseException:
        runner.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
