"""Runs of one model with marked tensors, on the target and on the reference, and of parts of it on the target alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl import model
from envctl.debug.error import SCALES, error
from envctl.debug.search import Probe
from envctl.errors import JobFailed
from envctl.job import Output, Result
from envctl.model import ModelFacts
from envctl.model.onnx_graph import OnnxGraph
from envctl.model.onnx_marks import Value, cut, mark
from envctl.workflow import building, steps
from envctl.workflow.ask import Listener
from envctl.workflow.prepare import Prepared
from envctl.workflow.route import Passed, source_options
from envctl.workflow.work import Work

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

VANISHED = 0.1  # of the plain run's error: below that a run does not show the fault any more


@dataclass(kw_only=True)
class Bench:
    """One model on two engines: `source` is what the reference runs, `target` what the engine under test takes.

    `plain` are the errors of the model's outputs without marks, on the samples of `feeds`. `values` and `given` tell
    the types and shapes of the tensors of either file.
    """

    work: Work
    reference: Prepared
    source: OnnxGraph
    target: OnnxGraph
    external: Mapping[Path, tuple[str, ...]]
    feeds: Mapping[str, Array]
    plain: Mapping[str, float]
    listener: Listener
    values: dict[str, Value] = field(default_factory=dict)
    given: dict[str, Value] = field(default_factory=dict)
    kept: dict[str, Output] = field(default_factory=dict)  # the reference's tensors, as they were measured
    peaks: dict[str, int] = field(default_factory=dict)
    runs: int = 0
    part: Path | None = None
    folders: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def apart(self, reference: Array, target: Array) -> float:
        """The error of a tensor, as it counts in the precision that ran."""
        return error(reference, target, whole=SCALES[self.work.outcome.precision].whole)

    def learn(self, names: Sequence[str]) -> None:
        """Ask the reference's engine for types and shapes of these tensors in both files; nothing is executed."""
        self.values = self._shapes(self.source, "source", names)
        if self.target.path == self.source.path:
            self.given = self.values
            return
        theirs = self.target.makers()
        try:
            self.given = self._shapes(self.target, "target", [name for name in names if name in theirs])
        except JobFailed:  # the engine under test may read what this one does not
            self.given = {}

    def _shapes(self, graph: OnnxGraph, role: str, names: Sequence[str]) -> dict[str, Value]:
        folder = self._folder(f"shapes-{role}")
        fixed = {name: Value(dtype=str(each.dtype), shape=each.shape[1:]) for name, each in self.feeds.items()}
        external = self.external.get(graph.path, ())
        marked = mark(graph.path, folder / "marked.onnx", names, {}, inputs=fixed, external=external)
        result = steps.run(self._job(folder, "shapes", self.reference, marked), self.reference, self.work.runner)
        return {name: _value(told) for name, told in result.read_back.items()} | fixed

    def measure(self, names: Sequence[str]) -> Probe:
        """One run on either side with these tensors as further outputs."""
        self.runs += 1
        folder = self._folder("marks")
        self.listener.say(f"run {self.runs}: {len(names)} tensors of {len(self.source.makers())}")
        expected = self.on_reference(self.source, names)
        external = self.external.get(self.target.path, ())
        marked = mark(self.target.path, folder / "marked.onnx", names, self.given, external=external)
        try:
            answers = self.on_target(folder, marked, self.feeds)
        except JobFailed as failed:
            self.notes.append(f"run {self.runs} with {len(names)} marks did not come about: {failed.what}")
            return Probe(errors=None)
        own = len(self.source.outputs)
        pairs = zip((*self.source.outputs, *names), expected, _aligned(answers, self.target.outputs, own), strict=True)
        apart = {name: self.apart(array_of(before), array_of(after)) for name, before, after in pairs}
        self.kept.update(zip((*self.source.outputs, *names), expected, strict=True))
        shown = any(apart[name] >= VANISHED * plain for name, plain in self.plain.items())
        return Probe(errors={name: apart[name] for name in names}, still_parts=shown)

    def on_reference(self, graph: OnnxGraph, names: Sequence[str]) -> tuple[Output, ...]:
        """What the reference's engine answers with a file's graph as it is written, nothing optimised."""
        folder = self._folder("reference")
        external = self.external.get(graph.path, ())
        marked = mark(graph.path, folder / "marked.onnx", names, self.values, external=external)
        steps.write_inputs(folder, self.feeds)
        job = replace(self._job(folder, "infer", self.reference, marked), inputs=tuple(self.feeds))
        job.options.update(optimise=False, precision="fp32", stream=True)
        result = steps.run(job, self.reference, self.work.runner)
        self._peak("reference", result)
        return result.outputs

    def on_target(self, folder: Path, path: Path, feeds: Mapping[str, Array]) -> tuple[Output, ...]:
        """What the engine under test answers to these inputs with this model, converted as the user's was."""
        facts, work = model.read(path), replace(self.work, folder=folder, outcome=replace(self.work.outcome, notes=[]))
        work.outcome.results = {}
        made = building.build(work, Passed(model=facts)).artifacts[0] if work.target.plan.spec.converts else path
        place = made.parent if made != path else path
        job = steps.job(folder / "infer", "infer", work.target, place, facts.files()[1:], work.ask, work.limits)
        job.options.update(source_options(facts), stream=True)
        job = replace(job, inputs=tuple(feeds), after=True)
        steps.write_inputs(job.folder, feeds)
        steps.go(job.folder, made.name if made != path else "")
        result = steps.run(job, work.target, work.runner)
        for name, each in {**work.outcome.results, "infer": result}.items():
            self._peak(name, each)
        return result.outputs

    def alone(self, tensor: str, feeds: Sequence[str]) -> float | None:
        """The error of a tensor when the target makes it from the reference's own tensors; None where it cannot."""
        self.runs += 1
        self.listener.say(f"run {self.runs}: what makes {tensor}, alone")
        self.part = folder = self._folder("alone")
        given = {name: self._given(name) for name in feeds}
        values = {name: Value(dtype=str(each.dtype), shape=each.shape[1:]) for name, each in given.items()}
        known = {tensor: self.given.get(tensor, Value(dtype="", shape=None))}
        external = self.external.get(self.target.path, ())
        path = cut(self.target, folder / "part.onnx", values, known, external=external)
        try:
            answer = self.on_target(folder, path, given)[0]
        except JobFailed as failed:
            self.notes.append(f"what makes {tensor} could not be run alone: {failed.what}")
            return None
        return self.apart(array_of(self.kept[tensor]), array_of(answer))

    def _given(self, name: str) -> Array:
        """The reference's values of a tensor, in the type that the target's file has for it."""
        array = self.feeds[name] if name in self.feeds else array_of(self.kept[name])
        wanted = self.given[name].dtype if name in self.given else str(array.dtype)
        return array if wanted in (str(array.dtype), "bfloat16", "") else array.astype(wanted)

    def _job(self, folder: Path, step: Any, prepared: Prepared, path: Path) -> Any:
        facts: ModelFacts = model.read(path)
        job = steps.job(folder, step, prepared, path, facts.files()[1:], self.work.ask, self.work.limits)
        job.options.update(source_options(facts))
        return job

    def _folder(self, what: str) -> Path:
        """A new folder for a run; all but that of the last part run alone go when the search is over."""
        self.folders.append(self.work.folder / f"{what}-{len(self.folders)}")
        return self.folders[-1]

    def tidy(self) -> None:
        """Remove the folders of all runs but the last part's, which shows the fault by itself."""
        for folder in self.folders:
            if folder != self.part:
                shutil.rmtree(folder, ignore_errors=True)

    def _peak(self, name: str, result: Result) -> None:
        self.peaks[name] = max(self.peaks.get(name, 0), result.peak_memory)


def _aligned(answers: tuple[Output, ...], own: tuple[str, ...], count: int) -> list[Output]:
    """The target's outputs in the order of the reference's: its own first, then the marks, as they were written."""
    if len(own) != count:
        raise JobFailed(f"the target's model has {len(own)} outputs, the reference's {count}")
    return list(answers)


def array_of(output: Output) -> Array:
    """An array of a job, left on disk."""
    import numpy as np

    array: Array = np.load(output.file, mmap_mode="r", allow_pickle=False)
    return array


def _value(told: str) -> Value:
    dtype, shape = json.loads(told)
    return Value(dtype=dtype, shape=tuple(size if isinstance(size, int) else None for size in shape))
