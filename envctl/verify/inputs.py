"""Input arrays: made from a seed, or the user's, checked against what the model declares.

Every array has the samples first: [samples, *shape of the model's input]. One sample is one inference.
"""

from __future__ import annotations

import difflib
import math
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from envctl.errors import BadInput, Reason
from envctl.model import Tensor

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

MAX_SEEDED_ELEMENTS = 1 << 28
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def concrete(tensor: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of one inference: the asked-for one, else the declared one with 1 where it is left open."""
    if tensor.shape is None:
        raise BadInput(f"input {tensor.name} has no shape in the model", do=[f"give one: --shape {tensor.name}=1,3,…"])
    declared = tensor.shape
    asked = shapes.get(tensor.name)
    if asked is None:
        return tuple(1 if size is None else size for size in declared)
    fits = len(asked) == len(declared) and all(d in (None, a) for a, d in zip(asked, declared, strict=True))
    if not fits:
        do = ["give every size; only those shown as ? are free"]
        raise BadInput(f"--shape {tensor.name}={','.join(map(str, asked))} does not fit the model's {tensor}", do=do)
    return asked


def seeded(
    tensors: tuple[Tensor, ...], shapes: Mapping[str, tuple[int, ...]], *, seed: int, samples: int
) -> dict[str, Array]:
    """Arrays from a seed: standard normal for floats, 0 to 9 for integers, coin flips for booleans.

    Each input has a generator of its own (seed and name), so that adding an input does not change the others.
    """
    return {tensor.name: _draw(tensor, concrete(tensor, shapes), seed, samples) for tensor in tensors}


def _draw(tensor: Tensor, shape: tuple[int, ...], seed: int, samples: int) -> Array:
    import numpy as np

    size = (samples, *shape)
    if math.prod(size) > MAX_SEEDED_ELEMENTS:
        raise BadInput(f"{samples} samples of {tensor} are too large", do=["use fewer: --samples N, or --shape"])
    generator = np.random.default_rng([seed, zlib.crc32(tensor.name.encode())])
    if tensor.dtype in ("float32", "float64", "float16"):
        return generator.standard_normal(size, dtype=np.float32).astype(tensor.dtype)
    if tensor.dtype == "bool":
        return generator.integers(0, 2, size).astype(bool)
    if tensor.dtype in INTEGERS:
        return generator.integers(0, 10, size).astype(tensor.dtype)
    do = ["give the inputs: --input FILE.npz"]
    raise BadInput(f"cannot make seeded values for input {tensor.name} of type {tensor.dtype}", do=do)


def checked(given: Mapping[str, Array], tensors: tuple[Tensor, ...]) -> dict[str, Array]:
    """The user's arrays with the samples first; raises `BadInput` for a wrong name, type or shape."""
    names = [tensor.name for tensor in tensors]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            do = [f"did you mean {near[0]}?"] if near else [f"the model's inputs are {', '.join(names)}"]
            raise BadInput(f"the input file has {name!r}, which the model has not", do=do)
    missing = [name for name in names if name not in given]
    if missing:
        raise BadInput(f"the input file lacks {', '.join(missing)}", do=[f"it needs: {'; '.join(map(str, tensors))}"])
    arrays = {tensor.name: _with_samples(given[tensor.name], tensor) for tensor in tensors}
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise BadInput("the inputs have different numbers of samples", because=[Reason(text=str(counts))])
    return arrays


def _with_samples(array: Array, tensor: Tensor) -> Array:
    """[samples, *shape]: as given, or one sample, or (declared batch 1) a batch cut into samples."""
    if str(array.dtype) != tensor.dtype:
        do = [f"save it as {tensor.dtype}: envctl changes no values"]
        raise BadInput(f"input {tensor.name} is {array.dtype}, the model wants {tensor.dtype}", do=do)
    if not array.size:
        raise BadInput(f"input {tensor.name} is empty: its shape is {list(array.shape)}", do=["give a sample or more"])
    declared = tensor.shape
    if declared is None or _fits(array.shape, declared):
        return array[None]
    if array.ndim and _fits(array.shape[1:], declared):
        return array
    if array.ndim and declared[:1] == (1,) and _fits((1, *array.shape[1:]), declared):
        return array[:, None]
    do = ["give one inference in that shape, or several with one more axis in front"]
    raise BadInput(f"input {tensor.name} has shape {list(array.shape)}, the model wants {tensor}", do=do)


def _fits(shape: tuple[int, ...], declared: tuple[int | None, ...]) -> bool:
    return len(shape) == len(declared) and all(d in (None, s) for s, d in zip(shape, declared, strict=True))
