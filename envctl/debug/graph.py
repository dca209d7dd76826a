"""A graph as the search sees it: which tensors there are, in which order they are made, and what each depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Nodes as (inputs, outputs) in an order in which each comes after what it reads; `ends`: the outputs."""

    nodes: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]
    ends: tuple[str, ...]

    @cached_property
    def made_by(self) -> Mapping[str, int]:
        """The index of the node that makes each tensor; stored tensors and the model's inputs have none."""
        return {name: index for index, (_, outputs) in enumerate(self.nodes) for name in outputs}

    def reads(self, index: int) -> tuple[str, ...]:
        """The tensors that a node reads and another one makes."""
        return tuple(name for name in self.nodes[index][0] if name in self.made_by)

    def upstream(self, tensor: str, stop: Iterable[str] = ()) -> list[str]:
        """The tensors that this one depends on and itself, in the order they are made; not beyond those of `stop`."""
        stopped, found, left = set(stop), set[int](), [tensor]
        while left:
            index = self.made_by.get(left.pop())
            if index is not None and index not in found:
                found.add(index)
                left += [name for name in self.reads(index) if name not in stopped]
        mine = {tensor, *(name for index in found for name in self.reads(index))}
        made = (name for index in sorted(found) for name in self.nodes[index][1])
        return [name for name in made if name in mine and name not in stopped]
