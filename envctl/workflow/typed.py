"""The step before a conversion that writes a precision into the graph's types, for engines that go by those."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl import model
from envctl.errors import BadInput, JobFailed, Reason
from envctl.model import ModelFacts
from envctl.recipe import GraphTypes
from envctl.tree import sha256_of
from envctl.verify import inputs
from envctl.workflow import quantised, steps
from envctl.workflow.ask import SEEDED, Ask
from envctl.workflow.feeds import load_arrays, make_feeds
from envctl.workflow.outcome import Outcome
from envctl.workflow.prepare import Prepared

if TYPE_CHECKING:
    import numpy as np

    from envctl.workflow.work import Work

    Array = np.ndarray[Any, np.dtype[Any]]

ADAPTER, FOLDER = "graph_types", "types"
APART = 1_000_003  # the seed of calibration samples, so that they are others than those which are judged


def wanted(ask: Ask, facts: ModelFacts, prepared: Prepared) -> GraphTypes | None:
    """How the graph comes to the precision that was asked for; None where it has it, or the engine another way."""
    if ask.precision in (None, "fp32", facts.precision()):
        return None
    spec = prepared.plan.spec
    return spec.typed(prepared.plan.stack.version(spec.engine), ask.precision)


def check(ask: Ask, facts: ModelFacts, symmetric: str, title: str) -> None:
    """Raise before anything is made: int8 without samples, or a quantisation that the engine refuses."""
    if symmetric and facts.precision() == "int8":
        quantised.check(facts.path, title, symmetric)
    if ask.precision != "int8" or facts.precision() == "int8":
        if ask.calibration:
            raise BadInput("--calibration is for --precision int8 of a model that is not quantised yet")
        return
    if facts.precision() != "fp32":
        raise BadInput(f"int8 is made from a float32 model; {facts.path.name} is {facts.precision()}")
    if ask.calibration is None:
        do = [
            "--calibration FILE.npz (or a folder of them): a hundred real samples",
            "--calibration seeded: random ones",
        ]
        raise BadInput("--precision int8 needs samples to calibrate on", do=do)
    if ask.calibration != SEEDED:
        calibration(ask, facts)


def make(work: Work, tools: GraphTypes, facts: ModelFacts) -> ModelFacts:
    """The model with the types written into it, checked: its header must state the precision that was asked for."""
    ask, folder = work.ask, work.folder / FOLDER
    job = steps.job(folder, "convert", work.target, facts.path, facts.files()[1:], ask, work.limits)
    job.options.update(keep_float32=list(tools.keep_float32), keep_nodes=list(ask.keep_layers))
    if ask.precision == "int8":
        feeds = calibration(ask, facts)
        steps.write_inputs(folder, feeds)
        job.options.update(calibration=list(feeds))
    work.outcome.results[FOLDER] = result = steps.run(replace(job, adapter=ADAPTER), work.target, work.runner)
    made = model.read(result.artifacts[0])
    if made.precision() != ask.precision:
        because = [Reason(text=f"the graph that came out is {made.precision()}", source=str(result.artifacts[0]))]
        raise JobFailed(f"{facts.path.name} could not be made {ask.precision}", because=because)
    return made


def calibration(ask: Ask, facts: ModelFacts) -> dict[str, Array]:
    """The samples to calibrate on, [samples, ...] each: from a file, every .npz of a folder, or seeded apart."""
    import numpy as np

    if ask.calibration in (None, SEEDED):
        return inputs.seeded(facts.inputs, ask.shapes, seed=ask.seed + APART, samples=max(ask.samples, 16))
    path = Path(ask.calibration or "")
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files:
        raise BadInput(f"--calibration {path}: no .npz file lies there", do=["numpy.savez(FILE, name=array, …)"])
    parts = [inputs.checked(load_arrays(file), facts.inputs) for file in files]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def notes(tools: GraphTypes, ask: Ask, facts: ModelFacts) -> list[str]:
    """What the result must say of the step, and of the samples that it was calibrated on."""
    said = [f"{ask.precision} is written into the graph's types by a step before ({tools.source})"]
    return said + (_calibrated(ask, facts, calibration(ask, facts)) if ask.precision == "int8" else [])


def _calibrated(ask: Ask, facts: ModelFacts, feeds: Mapping[str, Array]) -> list[str]:
    count = len(next(iter(feeds.values())))
    if ask.calibration == SEEDED:
        return [f"calibrated on {count} random samples: good for trying it out, not for use"]
    judged = _samples(make_feeds(ask, facts, Outcome(task=ask.task)))
    shared = len(judged & _samples(feeds))
    if not shared:
        return [f"calibrated on {count} samples of {ask.calibration}"]
    return [
        f"warning: {shared} of the {len(judged)} samples that the result is judged on were calibrated on: "
        "the verdict is better than the model"
    ]


def identity(ask: Ask) -> dict[str, Any]:
    """What the samples for calibration, and layers that are kept, add to an engine's key."""
    kept = {"keep_layers": list(ask.keep_layers)} if ask.keep_layers else {}
    if ask.calibration in (None, SEEDED):
        return {"calibration": ask.calibration and [SEEDED, ask.seed, ask.samples]} | kept
    path = Path(ask.calibration or "")
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    return {"calibration": [sha256_of(file) for file in files]} | kept


def _samples(feeds: Mapping[str, Array]) -> set[bytes]:
    """A digest of each sample over all inputs, in the order of their names."""
    arrays = [feeds[name] for name in sorted(feeds)]
    joined = (b"".join(sample.tobytes() for sample in each) for each in zip(*arrays, strict=True))
    return {hashlib.sha256(each).digest() for each in joined}
