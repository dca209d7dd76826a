"""Samples read from wherever a person has them: files here, images and functions in a worker with numpy and Pillow."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl import lock, samples, spec
from envctl.aliases import read_indexes
from envctl.environment import Environment
from envctl.errors import BadInput, JobFailed, Reason
from envctl.host import HostFacts
from envctl.index import Question
from envctl.job import Job, Limits, Result
from envctl.model import Tensor
from envctl.runner import Runner
from envctl.runner.outcome import tail
from envctl.verify import inputs
from envctl.workflow.ask import Ask
from envctl.workflow.feeds import load_arrays

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """Arrays with the samples first, as the model's inputs want them; for images in folders of classes also the class
    of each and the classes' names. `said` is where they are from and what was done to them."""

    arrays: dict[str, Array]
    said: str
    labels: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(next(iter(self.arrays.values())))


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where samples lie (`envctl.samples.kind_of`), what --preprocess says of images, how many are read at `most`."""

    place: str
    preprocess: str = ""
    most: int = 0


def check(place: Place, tensors: tuple[Tensor, ...]) -> None:
    """Raise `BadInput` for what can be foreseen before anything is made."""
    kind = samples.kind_of(place.place)
    if kind == "npz":
        files(place.place, tensors)
    elif kind == "images":
        prepared(place, tensors)
    if place.preprocess and kind != "images":
        raise BadInput("--preprocess is for a folder of images", do=["leave it out: arrays are taken as they are"])


def prepared(place: Place, tensors: tuple[Tensor, ...]) -> samples.Preprocessing:
    """What the images of a place go through; it must be said, as nobody can see it in a model."""
    if not place.preprocess:
        do = ["say what the model was trained with", samples.EXAMPLE]
        raise BadInput(f"{place.place} holds images: --preprocess is needed", do=do)
    return samples.for_input(samples.read_preprocessing(place.preprocess), tensors)


def files(place: str, tensors: tuple[Tensor, ...]) -> dict[str, Array]:
    """The arrays of an .npz file, or of every one of a folder, put together and checked."""
    import numpy as np

    path = Path(place)
    found = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    parts = [inputs.checked(load_arrays(file), tensors) for file in found]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def environment(
    python: str, glibc: str | None, ask: Ask, host: HostFacts, runner: Runner, say: Callable[[str], None]
) -> Environment:
    """numpy and Pillow, locked and installed for that Python: what reads images and runs functions."""
    platform = lock.platform_for(host.value("arch"), glibc or host.value("glibc"))
    question = Question(packages=spec.sample_packages(), constraints=(), python=python, platform=platform)
    indexes = read_indexes(list(ask.index))
    found = lock.answer(question, "the reader of samples", indexes, offline=ask.offline, refresh=ask.refresh, say=say)
    return runner.environment(found, indexes, None, offline=ask.offline, say=say)


def wants_worker(place: str | None) -> bool:
    """Whether a worker must read them."""
    return place is not None and samples.kind_of(place) in ("images", "entry")


def read(
    place: Place, tensors: tuple[Tensor, ...], reader: Environment | None, runner: Runner, folder: Path, limits: Limits
) -> Samples:
    """The samples of a place; `reader` is the `environment` where a worker is wanted, `folder` the job's."""
    kind = samples.kind_of(place.place)
    if kind == "npz":
        return Samples(arrays=files(place.place, tensors), said=place.place)
    assert reader
    if kind == "images":
        return _images(place, tensors, reader, runner, folder, limits)
    return _called(place, tensors, reader, runner, folder, limits)


def _images(
    place: Place, tensors: tuple[Tensor, ...], reader: Environment, runner: Runner, folder: Path, limits: Limits
) -> Samples:
    path, chosen = Path(place.place), prepared(place, tensors)
    every = samples.images(path)
    taken = samples.spread(every, place.most)
    labels, classes = samples.labels(taken)
    tensor = tensors[0]
    depth = samples.CHANNELS[chosen.order]
    shape = (depth, *chosen.size) if chosen.layout == "nchw" else (*chosen.size, depth)
    names = ("size", "layout", "order", "scale", "mean", "std", "resize", "fit")
    options = {name: getattr(chosen, name) for name in names} | {"kind": "images", "files": taken}
    options |= {"input": tensor.name, "dtype": tensor.dtype, "shape": [1, *shape]}
    arrays = _arrays(_done(folder, path, options, reader, runner, limits), tensors)
    of = f"{len(taken)} of {len(every)} images" if len(taken) < len(every) else f"{len(taken)} images"
    said = f"{place.place} ({of}: {chosen})"
    return Samples(arrays=arrays, said=said, labels=tuple(labels), classes=tuple(classes))


def _called(
    place: Place, tensors: tuple[Tensor, ...], reader: Environment, runner: Runner, folder: Path, limits: Limits
) -> Samples:
    entry = samples.ENTRY.fullmatch(place.place)
    assert entry
    options = {"kind": "entry", "function": entry["function"], "inputs": [tensor.name for tensor in tensors]}
    arrays = _arrays(_done(folder, Path(entry["file"]), options, reader, runner, limits), tensors)
    return Samples(arrays=arrays, said=place.place)


def _done(
    folder: Path, source: Path, options: dict[str, Any], reader: Environment, runner: Runner, limits: Limits
) -> Result:
    """The worker's result; what is wrong with a person's files is a `BadInput`, all else a `JobFailed`."""
    job = Job(
        folder=folder, step="convert", adapter="samples", source=source.resolve(), companions=(), limits=limits,
        options=options,
    )  # fmt: skip
    job.write()
    result = runner.run(job, reader)
    if result.status in ("invalid-model", "unsupported"):
        raise BadInput(f"the samples of {source.name} cannot be read", because=[Reason(text=result.message)])
    if not result.ok:
        lines = [line for line in (result.message or tail(folder, 5)).splitlines() if line.strip()]
        because = [Reason(text=line[:300], source=result.status if i == 0 else "") for i, line in enumerate(lines[:6])]
        do = [f"read {folder / 'worker.log'}", f"do it again: {folder / 'reproduce.sh'}"]
        raise JobFailed(f"{source.name} gave no samples", because=because, do=do)
    return result


def _arrays(result: Result, tensors: tuple[Tensor, ...]) -> dict[str, Array]:
    import numpy as np

    try:
        names = [str(name) for name in json.loads(result.read_back["inputs"])]
        pairs = zip(names, result.artifacts, strict=True)
        arrays = {name: np.load(path, allow_pickle=False) for name, path in pairs}
    except (ValueError, OSError, EOFError, KeyError, TypeError) as error:
        because = [Reason(text=str(error))]
        raise JobFailed(f"the samples in {result.folder} cannot be read", because=because) from error
    return inputs.checked(arrays, tensors)
