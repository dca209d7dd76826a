"""The samples that an int8 model is calibrated on: read once a run, told in its result, and part of what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envctl import samples
from envctl.errors import BadInput
from envctl.model import ModelFacts
from envctl.verify import inputs
from envctl.workflow.ask import SEEDED, Ask
from envctl.workflow.feeds import make_feeds
from envctl.workflow.outcome import Outcome
from envctl.workflow.samples import Place, Samples, read
from envctl.workflow.samples import check as check_place

if TYPE_CHECKING:
    from envctl.workflow.work import Work

APART = 1_000_003  # the seed of calibration samples, so that they are others than those which are judged
MOST = 300  # of a folder of images; what NNCF takes by itself: https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/quantizing-models-post-training/basic-quantization-flow.html
FOLDER = "calibration"


def needed(ask: Ask, facts: ModelFacts) -> bool:
    """Whether the run quantises: int8 is asked for, and the model is not that yet."""
    return ask.precision == "int8" and facts.precision() != "int8"


def check(ask: Ask, facts: ModelFacts) -> None:
    """Raise before anything is made: int8 without samples, or samples without int8."""
    if not needed(ask, facts):
        if ask.calibration or (ask.preprocess and ask.dataset is None):
            said = "--calibration" if ask.calibration else "--preprocess without --dataset"
            do = ["leave it out, or ask for --precision int8"]
            raise BadInput(f"{said} is for --precision int8 of a model that is not quantised yet", do=do)
        return
    if facts.precision() != "fp32":
        do = ["give the float32 model that it was made from", "or leave --precision out: it stays as it is"]
        raise BadInput(f"int8 is made from a float32 model; {facts.path.name} is {facts.precision()}", do=do)
    if ask.calibration is None:
        do = [
            "--calibration FILE.npz (or a folder of them): a hundred real samples",
            "--calibration FOLDER of images, with --preprocess; or MODULE.py:FUNCTION that gives samples",
            "--calibration seeded: random ones",
        ]
        raise BadInput("--precision int8 needs samples to calibrate on", do=do)
    check_place(place(ask), facts.inputs)


def place(ask: Ask) -> Place:
    """Where the samples lie."""
    return Place(place=ask.calibration or SEEDED, preprocess=ask.preprocess, most=MOST)


def of(work: Work) -> Samples:
    """The samples, [samples, ...] an input, as the user's model takes them."""
    outcome, ask = work.outcome, work.ask
    if outcome.calibration is None:
        outcome.calibration = _seeded(ask, work.source) if ask.calibration in (None, SEEDED) else _read(work)
        outcome.notes += _notes(work, outcome.calibration)
    return outcome.calibration


def _seeded(ask: Ask, facts: ModelFacts) -> Samples:
    arrays = inputs.seeded(facts.inputs, ask.shapes, seed=ask.seed + APART, samples=max(ask.samples, 16))
    return Samples(arrays=arrays, said=SEEDED)


def _read(work: Work) -> Samples:
    folder, reader = work.folder / FOLDER, work.outcome.reader
    return read(place(work.ask), work.source.inputs, reader, work.runner, folder, work.limits)


def _notes(work: Work, found: Samples) -> list[str]:
    """What the result must say of the samples that it was calibrated on."""
    if found.said == SEEDED:
        return [f"calibrated on {found.count} random samples: good for trying it out, not for use"]
    said = [f"calibrated on {found.count} samples of {found.said}"]
    if work.ask.task == "convert" and not work.ask.verify:
        return said
    judged = make_feeds(work.ask, work.source, Outcome(task=work.ask.task, dataset=work.outcome.dataset))
    shared, of_all = samples.shared(judged, found.arrays)
    if shared:
        said.append(
            f"warning: {shared} of the {of_all} samples that the result is judged on were calibrated on: "
            "the verdict is better than the model"
        )
    return said


def identity(work: Work) -> dict[str, Any]:
    """What the samples add to the key of what is made with them."""
    return {"calibration": samples.identity(of(work).arrays) if needed(work.ask, work.source) else None}
