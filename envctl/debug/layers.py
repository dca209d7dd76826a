"""The fewest layers kept in higher precision so that a verdict passes: pure, the trials come from outside.

Layers are ranked by the error that each adds. First as many of the worst as are needed, twice as many each time and
then between; then those among them that can be given back, halves first. What comes out is minimal: no layer of it can
be given back alone. A smaller set of others may exist: trying all would take 2 to the power of their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Layers:
    """The search's state: `passes` tells whether the verdict passes with these layers kept."""

    ranked: Sequence[str]
    passes: Callable[[tuple[str, ...]], bool]
    most: int = 40
    trials: list[tuple[int, bool]] = field(default_factory=list)

    def fewest(self) -> tuple[str, ...] | None:
        """The layers to keep; None where nothing that was tried passes."""
        enough = self._enough()
        return None if enough is None else self._given_back(list(self.ranked[:enough]))

    def _try(self, kept: Sequence[str]) -> bool:
        if len(self.trials) >= self.most:
            return False
        passed = self.passes(tuple(kept))
        self.trials.append((len(kept), passed))
        return passed

    def _enough(self) -> int | None:
        """How many of the worst layers are enough."""
        fails, count = 0, 1
        while not self._try(self.ranked[:count]):
            if count >= len(self.ranked) or len(self.trials) >= self.most:
                return None
            fails, count = count, min(2 * count, len(self.ranked))
        while count - fails > 1:
            middle = (fails + count) // 2
            fails, count = (fails, middle) if self._try(self.ranked[:middle]) else (middle, count)
        return count

    def _given_back(self, kept: list[str]) -> tuple[str, ...]:
        """What is left when parts that are not needed were given back, down to single layers."""
        size = len(kept) // 2
        while size:
            at = 0
            while at < len(kept):
                rest = kept[:at] + kept[at + size :]
                if rest and self._try(rest):
                    kept = rest
                else:
                    at += size
            size //= 2
        return tuple(kept)

    @property
    def minimal(self) -> bool:
        """Whether the search ended by itself."""
        return len(self.trials) < self.most
