"""The Pareto front: the points that no other beats in both figures."""

from __future__ import annotations

from collections.abc import Iterable

Point = tuple[float, float]
Line = tuple[float, float, float, float]


def front(points: Iterable[Point]) -> list[Point]:
    """Those with nothing at least as good in both and better in one (less is better), by the first figure."""
    kept: list[Point] = []
    for point in sorted(set(points)):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept


def stairs(points: list[Point], top: float, right: float) -> list[Line]:
    """The front as lines (x1, y1, x2, y2) at right angles, from the upper edge to the right one: what lies above and
    right of them is beaten. y is drawn downward, so less is lower: `points` are in drawing coordinates already."""
    lines: list[Line] = []
    height = top
    for x, y in points:
        lines.append((x, height, x, y))
        height = y
        following = next((other for other, _ in points if other > x), right)
        lines.append((x, y, following, y))
    return lines
