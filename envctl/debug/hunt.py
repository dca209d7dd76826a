"""From the first tensor that parts to the node that makes it part, or to the finding that no single one does.

A limit alone would blame whichever node an error grows past it at. So the node is run by itself on the reference's own
tensors: guilty is one that then makes an error of its own, above what an honest node makes in that precision. Where it
does not, and its inputs were already off, the search goes on upstream with a lower limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from envctl.debug.error import Scale
from envctl.debug.search import Search

Kind = Literal["node", "company", "gradual", "unfinished"]
OWN = 0.3  # a guilty node makes at least this share of the error behind it
CLEAN = 0.1  # inputs below this share of the error behind the node are as good as the same


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What the search came to: the first tensor that parts, the error of what its node reads, its own, and that of the
    node alone on the reference's tensors (None: it could not be tried).

    "company": alone the node answers right, so the fault is in how the engine joins it with its neighbours. "gradual":
    no node is guilty, the error grows along the way. "unfinished": the runs were used up.
    """

    kind: Kind
    tensor: str = ""
    before: float = 0.0
    after: float = 0.0
    alone: float | None = None


def hunt(search: Search, scale: Scale, alone: Callable[[str], float | None]) -> Finding:
    """The finding for a model whose outputs are known to part; `alone` runs the node that makes a tensor by itself."""
    limit = min(scale.parts, max(search.errors[end] for end in search.flow.ends if end in search.errors) / 3)
    while (tensor := search.first(limit)) is not None:
        before, after = before_of(search, tensor), search.errors[tensor]
        if before <= after / 2:
            found = _judged(tensor, before, after, alone(tensor), scale)
            if found:
                return found
        limit = before * 0.7
        if limit < scale.noise / 4:
            return _steepest(search)
    return Finding(kind="unfinished")


def before_of(search: Search, tensor: str) -> float:
    """The largest error among the nearest measured tensors that this one is made from."""
    return max((search.errors[name] for name in nearest(search, tensor)), default=0.0)


def nearest(search: Search, tensor: str) -> list[str]:
    """The nearest measured tensors that this one is made from, in the order they are made."""
    flow = search.flow
    left, seen, found = list(flow.reads(flow.made_by[tensor])), set[str](), set[str]()
    while left:
        name = left.pop()
        if name in search.errors:
            found.add(name)
        elif name not in seen:
            seen.add(name)
            left += flow.reads(flow.made_by[name])
    return sorted(found, key=lambda name: flow.made_by[name])


def _judged(tensor: str, before: float, after: float, own: float | None, scale: Scale) -> Finding | None:
    told = {"tensor": tensor, "before": before, "after": after, "alone": own}
    clean = before <= CLEAN * after and after > scale.noise
    if (own is None and clean) or (own is not None and own >= scale.noise and own >= OWN * after):
        return Finding(kind="node", **told)  # type: ignore[arg-type]
    return Finding(kind="company", **told) if clean else None  # type: ignore[arg-type]


def _steepest(search: Search) -> Finding:
    """No node is guilty: the step with the largest growth, for whoever wants to look there."""
    made = [name for name in search.errors if name in search.flow.made_by]
    steps = [(search.errors[name], before_of(search, name), name) for name in made]
    after, before, tensor = max(steps, key=lambda step: step[0] - step[1], default=(0.0, 0.0, ""))
    return Finding(kind="gradual", tensor=tensor, before=before, after=after)
