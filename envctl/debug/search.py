"""The search for the first tensor that parts: a chunk of tensors a run, and never more than one run keeps in memory.

Pure: what a run measures comes from `probe`. A tensor's error says nothing of those beside it, so what is looked at is
always what a tensor that parts depends on. A tensor that agrees clears what lies before it, at first: a fault may hide
behind a Relu and go on through another branch, so a node is found only when all that it reads was measured and agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from envctl.debug.graph import Flow


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One run with marked tensors: the error of each, and whether the model's outputs still part in it.

    `errors` is None where the run did not come about: with these outputs the engine does not take the model.
    """

    errors: Mapping[str, float] | None
    still_parts: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What one run may keep: bytes of marked tensors, and how many of them; how many runs there may be."""

    sizes: Mapping[str, int]
    bytes: int
    most: int = 48
    runs: int = 12


@dataclass(kw_only=True)
class Search:
    """The state of a search: errors of all tensors measured so far, and those that cannot be measured, with the reason.

    `measurable` are the tensors that both sides have under one name.
    """

    flow: Flow
    room: Room
    measurable: frozenset[str]
    probe: Callable[[Sequence[str]], Probe]
    errors: dict[str, float] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    def first(self, limit: float) -> str | None:
        """The first tensor whose error is above `limit` while all that its node reads is not; None: runs are used up,
        or nothing parts."""
        bad = self._earliest(self.flow.ends, limit)
        while bad:
            bad = self._earliest(self.flow.upstream(bad), limit) or bad
            unknown = self._unknown(bad, limit)
            if not unknown:
                return bad
            if not self.measure(self.chunk(unknown)):
                return None
        return None

    def _earliest(self, tensors: Sequence[str], limit: float) -> str | None:
        """The first made of these tensors that is known to part."""
        found = [name for name in tensors if self.errors.get(name, 0.0) > limit and name in self.flow.made_by]
        return min(found, key=lambda name: self.flow.made_by[name], default=None)

    def _unknown(self, bad: str, limit: float) -> list[str]:
        """What is still to be measured before `bad`: what no tensor that agrees clears, then what its node reads."""
        agreeing = [name for name, error in self.errors.items() if error <= limit]
        cleared = set(agreeing) | {name for each in agreeing for name in self.flow.upstream(each)}
        between = [name for name in self.flow.upstream(bad, stop=agreeing) if self.open(name) and name not in cleared]
        return between or list(self.frontier(bad))

    def frontier(self, tensor: str) -> Iterator[str]:
        """The nearest tensors before this one that can be measured and were not."""
        left, seen = list(self.flow.reads(self.flow.made_by[tensor])), set[str]()
        while left:
            name = left.pop()
            if name in seen:
                continue
            seen.add(name)
            if self.open(name):
                yield name
            elif name not in self.errors:
                left += self.flow.reads(self.flow.made_by[name])

    def open(self, name: str) -> bool:
        """Whether it can be measured and was not."""
        return name in self.measurable and name not in self.errors and name not in self.unmeasured

    def chunk(self, unknown: Sequence[str]) -> list[str]:
        """Tensors spread evenly over `unknown`, as many as one run keeps; one at least."""
        count = min(len(unknown), self.room.most)
        while count > 1:
            chosen = [unknown[(2 * index + 1) * len(unknown) // (2 * count)] for index in range(count)]
            if sum(self.room.sizes.get(name, 0) for name in chosen) <= self.room.bytes:
                return chosen
            count = count * 3 // 4
        return [unknown[len(unknown) // 2]]

    def measure(self, names: Sequence[str]) -> bool:
        """Measure these tensors; False where no run is left. What cannot be run or hides the fault is taken apart."""
        left = [list(names)]
        while left:
            if self.runs >= self.room.runs:
                return False
            chunk = left.pop()
            self.runs += 1
            found = self.probe(chunk)
            if found.errors is not None and found.still_parts:
                self.errors.update(found.errors)
                return True  # what else was to be measured may not be needed any more
            if len(chunk) == 1:
                hides = "with it as an output the fault is gone"
                self.unmeasured[chunk[0]] = hides if found.errors is not None else "the engine does not give it out"
            else:
                left += [chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]]
        return True
