"""Whether an image input has its channels first or last: from the graph where it tells, else from the sizes.

Every answer has its reason, as it is a guess: a converter checks it, a person may know better.
"""

from __future__ import annotations

from dataclasses import replace

from envctl.model.facts import Tensor

CHANNELS = (1, 2, 3, 4)  # grey, grey with alpha, colours, colours with alpha
LAST, FIRST = {3: "NWC", 4: "NHWC", 5: "NDHWC"}, {3: "NCW", 4: "NCHW", 5: "NCDHW"}
# ONNX operators that are defined with channels first
SPATIAL = {
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "InstanceNormalization",
    "QLinearConv",
}
TO_FIRST = {(0, 3, 1, 2): "NHWC", (0, 4, 1, 2, 3): "NDHWC", (0, 2, 1): "NWC"}
TO_LAST = {(0, 2, 3, 1): "NCHW", (0, 2, 3, 4, 1): "NCDHW"}


def onnx_layout(tensor: Tensor, reader: tuple[str, tuple[int, ...]] | None) -> Tensor:
    """The tensor with a layout, from the operator that reads it first (with its permutation, for a Transpose)."""
    if not spatial(tensor):
        return tensor
    op, permutation = reader or ("", ())
    if op in SPATIAL:
        return told(tensor, FIRST, f"{op} reads it, which ONNX defines with channels first")
    moved = TO_FIRST.get(permutation) or TO_LAST.get(permutation)
    if op == "Transpose" and moved and len(permutation) == rank(tensor):
        order = ",".join(map(str, permutation))
        return replace(tensor, layout=moved, layout_why=f"a Transpose({order}) reads it first")
    return by_sizes(tensor)


def by_format(tensor: Tensor, data_formats: set[str]) -> Tensor:
    """The tensor with the layout that the convolutions of a TensorFlow or Keras graph state, when they agree."""
    if not spatial(tensor):
        return tensor
    names = LAST if data_formats == {"last"} else FIRST if data_formats == {"first"} else None
    guess = by_sizes(tensor)
    if names and guess.layout in ("", names[rank(tensor)]):
        return told(tensor, names, f"the convolutions say channels_{min(data_formats)}")
    return guess


def by_sizes(tensor: Tensor) -> Tensor:
    """The tensor with a layout where one end of its sizes alone could be channels."""
    if not spatial(tensor) or rank(tensor) == 3:
        return tensor
    shape = tensor.shape or ()
    first, last = shape[1] in CHANNELS, shape[-1] in CHANNELS
    if first == last:
        return tensor
    return told(tensor, LAST if last else FIRST, f"its sizes: {shape[-1] if last else shape[1]} can only be channels")


def told(tensor: Tensor, names: dict[int, str], why: str) -> Tensor:
    """The tensor with the name of its rank among `names`."""
    return replace(tensor, layout=names[rank(tensor)], layout_why=why)


def spatial(tensor: Tensor) -> bool:
    """Whether a layout is a question at all: three to five sizes, the first of them the batch."""
    return rank(tensor) in LAST and not tensor.layout


def rank(tensor: Tensor) -> int:
    """How many sizes it has; 0 where that is not told."""
    return len(tensor.shape or ())
