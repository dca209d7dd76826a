"""The cells of a comparison: every engine and version at every precision, batch and number of threads."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from envctl.bench.document import Cell
from envctl.errors import BadInput
from envctl.lockfile import LockFile
from envctl.model import ModelFacts
from envctl.request import Pin
from envctl.spec import read_spec
from envctl.verify.inputs import concrete
from envctl.workflow.ask import Ask, Precision, Sizes
from envctl.workflow.target import device_of

MOST = 1000  # cells: more are a typing error


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """One engine at one version as it was asked for ("": any), with its pins and those of all cells; or as a lock file
    has it, which is then what was `said`."""

    name: str
    said: str
    pins: tuple[Pin, ...]
    lock: LockFile | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """What was asked for, beside the engines. A batch of None is the model's own."""

    engines: tuple[Engine, ...]
    precisions: tuple[Precision | None, ...] = (None,)
    batches: tuple[int, ...] = ()
    threads: tuple[int, ...] = (0,)
    colocate: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """One cell before it is measured. `ask` has everything but the shapes of the batch (`batched`)."""

    ask: Ask
    said: str
    batch: int
    colocate: int
    number: int

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from all other cells of a comparison."""
        ask = self.ask
        return (ask.engine, self.said, ask.precision, self.batch, ask.threads, self.colocate)

    @property
    def title(self) -> str:
        """The engine and what it shall do, in words."""
        spec = read_spec(self.ask.engine)
        said = [spec.title, self.said, self.ask.precision or "", f"batch {self.batch}"]
        words = "thread" if self.ask.threads == 1 else "threads"
        threads = [f"{self.ask.threads} {words}"] if self.ask.threads else []
        return " ".join(filter(None, [*said, *threads]))

    def id(self, version: str | None) -> str:
        """A name for the cell: engine, version, precision, batch, threads."""
        precision, threads = self.ask.precision or "own", self.ask.threads or "auto"
        parts = [self.ask.engine, version or self.said or "any", precision, f"b{self.batch}", f"t{threads}"]
        return "-".join(parts + ([f"x{self.colocate}"] if self.colocate > 1 else []))

    @property
    def device(self) -> str:
        """The device that it shall run on."""
        spec = read_spec(self.ask.engine)
        return "cuda" if spec.ahead_of_time else device_of(spec)


def key_of(cell: Cell) -> tuple[object, ...]:
    """The same of a cell in a document."""
    return (cell.engine, cell.asked.version, cell.asked.precision, cell.batch, cell.threads, cell.colocate)


def wishes(matrix: Matrix, base: Ask, facts: ModelFacts) -> tuple[Wish, ...]:
    """All cells in the order that they were asked for; raises `BadInput` for none, or for one asked for twice."""
    found = tuple(_wishes(matrix, base, facts))
    if not found:
        do = ["name an engine or more, for example --ort 1.31 --openvino 2026.4,2024.6"]
        raise BadInput("there is nothing to compare: no engine was named", do=do)
    if len(found) > MOST:
        raise BadInput(f"that would be {len(found)} cells", do=["leave some versions, precisions or batches out"])
    for index, wish in enumerate(found):
        if wish.key in [other.key for other in found[:index]]:
            raise BadInput(f"{wish.title} is asked for twice", do=["name every version, precision and batch once"])
    return found


def _wishes(matrix: Matrix, base: Ask, facts: ModelFacts) -> Iterator[Wish]:
    batches = matrix.batches or (own_batch(facts, base.shapes),)
    every = product(matrix.engines, matrix.precisions, batches, matrix.threads)
    for number, (engine, precision, batch, threads) in enumerate(every):
        ask = replace(base, engine=engine.name, pins=engine.pins, lock=engine.lock)
        ask = replace(ask, precision=precision, threads=threads)
        yield Wish(ask=ask, said=engine.said, batch=batch, colocate=matrix.colocate, number=number)


def own_batch(facts: ModelFacts, shapes: Mapping[str, Sizes]) -> int:
    """The size of the first axis that all inputs share; 1 where they share none."""
    sizes = {shape[0] for tensor in facts.inputs if (shape := concrete(tensor, shapes))}
    return sizes.pop() if len(sizes) == 1 else 1


def batched(wish: Wish, facts: ModelFacts) -> Ask:
    """The ask with the shapes of its batch; raises `BadInput` where the model's own is fixed at another."""
    ask = wish.ask
    if wish.batch == own_batch(facts, ask.shapes):
        return ask
    shapes = dict(ask.shapes)
    for tensor in facts.inputs:
        shape = concrete(tensor, ask.shapes)
        if not shape:
            continue
        if tensor.shape and tensor.shape[0] is not None:
            do = ["export the model with an open first axis", f"or leave --batch {wish.batch} out"]
            raise BadInput(f"batch {wish.batch}: the first axis of {tensor} is fixed", do=do)
        shapes[tensor.name] = (wish.batch, *shape[1:])
    return replace(ask, shapes=shapes)


def grows(facts: ModelFacts) -> bool:
    """Whether every input takes other batches."""
    return all(tensor.shape is not None and tensor.shape[:1] in ((None,), ()) for tensor in facts.inputs)


def command(wish: Wish, version: str | None, options: tuple[str, ...]) -> str:
    """The command line that measures this cell alone; `options` are those that all cells share."""
    ask, spec = wish.ask, read_spec(wish.ask.engine)
    engine = ["--lock", wish.said] if ask.lock else [f"--{spec.option}", version or wish.said]
    words = ["envctl", "bench", str(ask.model), *filter(None, engine)]
    words += ["--precision", ask.precision] if ask.precision else []
    words += ["--batch", str(wish.batch), "--threads", str(ask.threads)]
    words += ["--colocate", str(wish.colocate)] if wish.colocate > 1 else []
    return shlex.join([*words, *options])
