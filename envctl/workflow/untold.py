"""What TorchScript does not tell of a model's inputs, from who knows: --input, --shape, what it was traced with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from envctl.errors import BadInput
from envctl.model import ModelFacts, Tensor
from envctl.workflow.ask import Ask
from envctl.workflow.feeds import load_arrays

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

TAKEN = "float32"


def told(ask: Ask, facts: ModelFacts, notes: list[str]) -> ModelFacts:
    """The facts with types and shapes of all inputs; what was supposed is said in `notes`. Raises `BadInput` for an
    input or output that is no tensor."""
    if facts.format != "torchscript":
        return facts
    _only_tensors(facts)
    given = load_arrays(ask.input) if ask.input else {}
    traced = facts.traced if len(facts.traced) == len(facts.inputs) else ((("", None),) * len(facts.inputs))
    pairs = zip(facts.inputs, traced, strict=True)
    return replace(facts, inputs=tuple(_told(ask, tensor, said, given, notes) for tensor, said in pairs))


def _told(
    ask: Ask, tensor: Tensor, said: tuple[str, tuple[int, ...] | None], given: Mapping[str, Array], notes: list[str]
) -> Tensor:
    dtype = str(given[tensor.name].dtype) if tensor.name in given else said[0]
    if not dtype:
        notes.append(f"{tensor.name}: the file does not say its element type; taken as {TAKEN} (else --input FILE.npz)")
    shape = _asked(ask, tensor.name) or said[1]
    if shape is None and tensor.name in given:
        shape = given[tensor.name].shape
    elif shape == said[1] and shape is not None:
        notes.append(f"{tensor.name}: shape {list(shape)} as it was traced (else --shape {tensor.name}=…)")
    return replace(tensor, dtype=dtype or TAKEN, shape=shape)


def _asked(ask: Ask, name: str) -> tuple[int | None, ...] | None:
    """The shape that --shape gives; sizes that it gives a range for stay open."""
    if name in ask.ranges:
        least, _, most = ask.ranges[name]
        return tuple(low if low == high else None for low, high in zip(least, most, strict=True))
    return ask.shapes.get(name)


def _only_tensors(facts: ModelFacts) -> None:
    """Raise for arguments and answers of other kinds; `dtype` is what TorchScript calls those."""
    odd = [tensor for tensor in (*facts.inputs, *facts.outputs) if tensor.dtype]
    if odd:
        do = ["wrap the module in one that takes and returns tensors, and save that"]
        raise BadInput(f"{facts.path.name}: {odd[0].name} is {odd[0].dtype}, not a tensor", do=do)
    if not facts.inputs or not facts.outputs:
        raise BadInput(f"{facts.path.name} has no forward whose inputs and outputs can be read")
