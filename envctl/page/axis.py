"""Logarithmic axes in percent of a drawing's width or height: what is drawn fits every width, and its text stays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

FULL = 100.0
FIFTHS = tuple(step / 5 for step in range(5, 50))


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """From `low` to `high`; `start` and `end` are where these lie, in percent."""

    low: float
    high: float
    start: float = 0.0
    end: float = FULL

    def at(self, value: float) -> float:
        """Where a value lies, in percent with two decimals."""
        share = log10(value / self.low) / log10(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 2)


def around(values: Iterable[float], *, start: float = 0.0, end: float = FULL) -> Axis:
    """An axis with all (positive) values on it and some room on both sides."""
    given = [value for value in values if value > 0] or [1.0]
    low, high = min(given), max(given)
    room = max((high / low) ** 0.08, 1.12)
    return Axis(low=low / room, high=high * room, start=start, end=end)


def decades(values: Iterable[float], *, start: float, end: float) -> Axis:
    """An axis from a power of ten to another, two decades at least."""
    given = [value for value in values if value > 0] or [1e-6]
    low, high = floor(log10(min(given))), ceil(log10(max(given)))
    return Axis(low=10.0**low, high=10.0 ** max(high, low + 2), start=start, end=end)


def round_values(axis: Axis, most: int = 7) -> list[float]:
    """Round figures that lie on the axis: as many as there may be, in steps that the eye knows."""
    powers = range(floor(log10(axis.low)), ceil(log10(axis.high)) + 1)
    for steps in (FIFTHS, (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**power for power in powers for step in steps]
        inside = [float(f"{value:.3g}") for value in found if axis.low <= value <= axis.high]
        if len(inside) <= most:
            return inside
    return inside[:: ceil(len(inside) / most)]
