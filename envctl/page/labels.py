"""Where the names of points go, so that they cover neither points nor each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

LETTER, LINE, AWAY, HALF = 6.6, 15.0, 12.0, 8.0  # pixels: a letter, a line, from the point's middle, its own half
Box = tuple[float, float, float, float]
Named = tuple[float, float, tuple[str, ...]]  # a point, and what it may be called, the best first


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A text at (dx, dy) pixels from its point; empty where there is no room for it."""

    text: str
    dx: float = 0.0
    dy: float = 0.0
    anchor: Literal["start", "middle", "end"] = "start"


def place(points: Sequence[Named], lines: Iterable[Box], width: float, height: float) -> list[Label]:
    """A label for each point of a drawing of that size with such lines (all in percent): the first text for which one
    of eight places is free, or none."""
    middles = [(x / 100 * width, y / 100 * height) for x, y, _ in points]
    taken: list[Box] = [(x - HALF, y - HALF, x + HALF, y + HALF) for x, y in middles]
    for x1, y1, x2, y2 in lines:
        left, right, high, low = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
        taken.append((left / 100 * width - 1, high / 100 * height - 1, right / 100 * width + 1, low / 100 * height + 1))
    made = []
    for index, ((x, y), (_, _, texts)) in enumerate(zip(middles, points, strict=True)):
        others = taken[:index] + taken[index + 1 :]
        tried = (_first_free(text, x, y, others, (0, 0, width, height)) for text in texts)
        label, box = next((found for found in tried if found[1]), (Label(text=""), None))
        made.append(label)
        if box:
            taken.append(box)
    return made


def _first_free(text: str, x: float, y: float, taken: list[Box], frame: Box) -> tuple[Label, Box | None]:
    long = len(text) * LETTER
    places: tuple[tuple[float, float, Literal["start", "middle", "end"]], ...] = (
        (AWAY, 4, "start"), (-AWAY, 4, "end"), (0, -AWAY, "middle"), (0, AWAY + LINE * 0.7, "middle"),
        (AWAY * 0.8, -AWAY * 0.7, "start"), (AWAY * 0.8, AWAY + 4, "start"),
        (-AWAY * 0.8, -AWAY * 0.7, "end"), (-AWAY * 0.8, AWAY + 4, "end"),
    )  # fmt: skip
    for dx, dy, anchor in places:
        left = x + dx - {"start": 0.0, "middle": long / 2, "end": long}[anchor]
        box = (left, y + dy - LINE * 0.75, left + long, y + dy + LINE * 0.25)
        inside = box[0] >= frame[0] and box[2] <= frame[2] and box[1] >= frame[1] and box[3] <= frame[3]
        if inside and not any(_overlap(box, other) for other in taken):
            return Label(text=text, dx=dx, dy=dy, anchor=anchor), box
    return Label(text=""), None


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
