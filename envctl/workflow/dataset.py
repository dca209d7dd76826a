"""Labelled samples: read, cut into the model's inferences, and what a task's metric says of both engines on them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl import samples
from envctl.bench.document import TaskMetric
from envctl.errors import BadInput, Reason
from envctl.model import ModelFacts, Tensor
from envctl.verify import inputs, metric
from envctl.workflow import samples as reading
from envctl.workflow import scores
from envctl.workflow.ask import Ask, Sizes
from envctl.workflow.feeds import load_arrays

if TYPE_CHECKING:
    import numpy as np

    from envctl.workflow.work import Work

    Array = np.ndarray[Any, np.dtype[Any]]

LABELS, ONLY_INPUT = ("y", "labels", "label"), "x"
FOLDER = "dataset"
DO = ["numpy.savez(FILE, x=[samples, …], y=[samples]), or a folder with a subfolder of images for each class"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Arrays [inferences, *shape of the model's input], a label for each of their samples, and where they are from."""

    arrays: dict[str, Array]
    labels: Array
    said: str


def wants_worker(ask: Ask) -> bool:
    """Whether images must be decoded, or a person's own metric run."""
    return reading.wants_worker(ask.dataset) or is_entry(ask.metric)


def is_entry(said: str) -> bool:
    """Whether a metric is a function of the user's."""
    return samples.ENTRY.fullmatch(said) is not None


def check(ask: Ask, facts: ModelFacts) -> None:
    """Raise `BadInput` for what can be foreseen before anything is made."""
    if ask.dataset is None:
        if ask.metric:
            raise BadInput("--metric is taken on labelled samples", do=["give them: --dataset FILE.npz, or FOLDER"])
        return
    known = f"{', '.join(metric.METRICS)}, or MODULE.py:FUNCTION"
    if not ask.metric or not (ask.metric in metric.METRICS or is_entry(ask.metric)):
        what = f"--metric {ask.metric!r} is unknown" if ask.metric else "--dataset needs a metric"
        raise BadInput(what, do=[f"--metric: {known}"])
    if is_entry(ask.metric):
        samples.kind_of(ask.metric)  # raises where there is no such file
    if ask.input or ask.task == "infer":
        raise BadInput("--dataset gives the samples: --input would too", do=["leave one of them out"])
    if not ask.verify:
        raise BadInput("--dataset is for the comparison that --no-verify leaves out", do=["leave one of them out"])
    _check_place(ask, facts)


def _check_place(ask: Ask, facts: ModelFacts) -> None:
    kind = samples.kind_of(ask.dataset or "")
    if kind in ("seeded", "entry"):
        raise BadInput(f"--dataset {ask.dataset}: labelled samples lie in files", do=DO)
    if kind == "npz":
        read_files(ask, facts)
        return
    reading.check(_place(ask), facts.inputs)
    if not samples.labels(samples.images(Path(ask.dataset or "")))[1]:
        raise BadInput(f"the images in {ask.dataset} lie in no folders of classes", do=DO)
    if ask.metric in ("miou", "cosine"):
        do = ["--metric top1", f"or an .npz file with the labels that {ask.metric} wants"]
        raise BadInput(f"folders of classes say nothing that {ask.metric} could be taken from", do=do)


def _place(ask: Ask) -> reading.Place:
    return reading.Place(place=ask.dataset or "", preprocess=ask.preprocess)


def load(work: Work) -> Labelled:
    """The labelled samples of a run."""
    ask, facts = work.ask, work.source
    if samples.kind_of(ask.dataset or "") == "npz":
        return read_files(ask, facts)
    import numpy as np

    folder, reader = work.folder / FOLDER, work.outcome.reader
    found = reading.read(_place(ask), facts.inputs, reader, work.runner, folder, work.limits)
    single = {name: array.reshape(-1, *array.shape[2:]) for name, array in found.arrays.items()}
    classes = f"{len(found.classes)} classes, in the order of their folders' names"
    return _cut(ask, facts.inputs, single, np.asarray(found.labels), f"{found.said}; {classes}")


def read_files(ask: Ask, facts: ModelFacts) -> Labelled:
    """The labelled samples of an .npz file, or of every one of a folder."""
    import numpy as np

    path = Path(ask.dataset or "")
    found = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    parts = [_split(load_arrays(file), file, facts.inputs) for file in found]
    try:
        arrays = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
        labels = np.concatenate([part[1] for part in parts])
    except ValueError as error:
        raise BadInput(f"the files in {path} do not go together", because=[Reason(text=str(error))]) from error
    return _cut(ask, facts.inputs, arrays, labels, str(path))


def _split(given: dict[str, Array], file: Path, tensors: tuple[Tensor, ...]) -> tuple[dict[str, Array], Array]:
    """The inputs by the model's names, and the labels."""
    names = [tensor.name for tensor in tensors]
    label = next((name for name in LABELS if name in given and name not in names), None)
    if label is None:
        because = [Reason(text=f"it has {', '.join(given) or 'no array'}", source=str(file))]
        raise BadInput(f"{file} has no labels (an array {' or '.join(LABELS)})", because=because, do=DO)
    arrays = {name: array for name, array in given.items() if name != label}
    if len(names) == 1 and names[0] not in arrays and ONLY_INPUT in arrays:
        arrays = {names[0] if name == ONLY_INPUT else name: array for name, array in arrays.items()}
    if sorted(arrays) != sorted(names):
        because = [Reason(text=f"it has {', '.join(given)}", source=str(file))]
        raise BadInput(f"{file} is not for this model's inputs ({', '.join(names)})", because=because, do=DO)
    return {name: arrays[name] for name in names}, given[label]


def _cut(ask: Ask, tensors: tuple[Tensor, ...], arrays: dict[str, Array], labels: Array, said: str) -> Labelled:
    """The samples in the model's batches; those that are left over are left out, and that is said."""
    counts = {name: array.shape[0] if array.ndim else 0 for name, array in (arrays | {"labels": labels}).items()}
    if len(set(counts.values())) > 1 or not counts["labels"]:
        told = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise BadInput("the dataset has not as many labels as samples", because=[Reason(text=told, source=said)], do=DO)
    made = {tensor.name: batches(arrays[tensor.name], tensor, ask.shapes) for tensor in tensors}
    kept = {math.prod(array.shape[:2]) if joined else len(array) for array, joined in made.values()}
    if len(kept) > 1:
        raise BadInput("the model's inputs have different batches: such a dataset cannot be cut", do=["--shape"])
    used = kept.pop()
    more = f", {len(labels) - used} left over by the batches" if used < len(labels) else ""
    return Labelled(
        arrays={name: array for name, (array, _) in made.items()},
        labels=labels[:used],
        said=f"{used} samples of {said}{more}",
    )


def batches(array: Array, tensor: Tensor, shapes: dict[str, Sizes]) -> tuple[Array, bool]:
    """[samples, …] as [inferences, *shape of one], and whether several samples (one, mostly) make the first axis of an
    inference; raises `BadInput` for a wrong type or shape."""
    if str(array.dtype) != tensor.dtype:
        do = [f"save it as {tensor.dtype}: envctl changes no values"]
        raise BadInput(f"the dataset's {tensor.name} is {array.dtype}, the model wants {tensor}", do=do)
    shape = inputs.concrete(tensor, shapes) if tensor.shape is not None else array.shape
    open_axes = tensor.shape or (None,) * len(shape)
    free = [tensor.name not in shapes and size is None for size in open_axes]
    if _fits(array.shape[1:], shape[1:], free[1:]) and shape:
        batch = shape[0]
        count = len(array) // batch
        if not count:
            raise BadInput(f"the dataset has {len(array)} samples, fewer than a batch of {batch}")
        return array[: count * batch].reshape(count, batch, *array.shape[1:]), True
    if _fits(array.shape[1:], shape, free):
        return array, False
    given = "x".join(map(str, array.shape[1:])) or "a single number"
    because = [Reason(text=f"each sample of {tensor.name} is {given}", source="the dataset")]
    raise BadInput(f"the dataset's samples do not fit the model's input {tensor}", because=because, do=DO)


def _fits(found: tuple[int, ...], wanted: tuple[int, ...], free: list[bool]) -> bool:
    pairs = zip(found, wanted, free, strict=False)
    return len(found) == len(wanted) and all(any_size or size == want for size, want, any_size in pairs)


def measured(work: Work, expected: dict[str, Array], answers: dict[str, Array]) -> TaskMetric:
    """The metric of reference and target, taken on the first output that it can be taken on."""
    labelled = work.outcome.dataset
    assert labelled
    if is_entry(work.ask.metric):
        both = scores.of(work, expected, answers, labelled.labels)
        return metric.of_scores(work.ask.metric, *both)
    first: BadInput | None = None
    for name, before in expected.items():
        try:
            found = metric.measured(work.ask.metric, before, answers[name], labelled.labels)
            return replace(found, output=name)
        except BadInput as error:
            first = first or error
    assert first
    raise first
