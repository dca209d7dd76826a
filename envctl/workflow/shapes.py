"""Shapes and ranges that were asked for, against what the model leaves open; before anything is built."""

from __future__ import annotations

from collections.abc import Iterator

from envctl.errors import BadInput
from envctl.model import ModelFacts, Tensor
from envctl.verify import inputs
from envctl.workflow.ask import Ask, Sizes


def check(ask: Ask, facts: ModelFacts) -> None:
    """Raise for an input that the model has not, a size that is not free, and a range that is none."""
    for tensor in facts.inputs:
        inputs.concrete(tensor, ask.shapes)
        if tensor.name in ask.ranges:
            _check_range(tensor, ask.ranges[tensor.name])
    unknown = sorted(set(ask.shapes) - {tensor.name for tensor in facts.inputs})
    if unknown:
        names = ", ".join(tensor.name for tensor in facts.inputs)
        raise BadInput(f"--shape {unknown[0]}: the model has no such input", do=[f"its inputs: {names}"])


def _check_range(tensor: Tensor, three: tuple[Sizes, Sizes, Sizes]) -> None:
    for shape in three:
        inputs.concrete(tensor, {tensor.name: shape})
    least, usual, most = three
    for axis, sizes in enumerate(zip(least, usual, most, strict=True)):
        if not sizes[0] <= sizes[1] <= sizes[2]:
            told = " <= ".join(map(str, sizes))
            what = f"--shape {tensor.name}: size {axis} is not MIN <= OPT <= MAX: {told}"
            raise BadInput(what, do=[f"the model's input is {tensor}", "--shape NAME=MIN:OPT:MAX"])


def open_sizes(ask: Ask, facts: ModelFacts) -> Iterator[str]:
    """A line for each input with free sizes that nobody spoke of: what they became, and how to say otherwise."""
    for tensor in facts.inputs:
        if tensor.shape and None in tensor.shape and tensor.name not in ask.shapes:
            free = [str(axis) for axis, size in enumerate(tensor.shape) if size is None]
            taken = inputs.concrete(tensor, {})
            example = "x".join("N" if size is None else str(size) for size in tensor.shape)
            yield (
                f"{tensor} leaves size {', '.join(free)} open; taken as {list(taken)}"
                f" (else --shape {tensor.name}={example}, or MIN:OPT:MAX of that)"
            )
