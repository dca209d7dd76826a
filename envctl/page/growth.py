"""Where the answer changed, as a page: the error of every measured tensor in the order they are made. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envctl.page.axis import FULL, Axis, decades, round_values
from envctl.page.rows import printable

LEAST = 1e-9  # errors of nothing lie on the axis' lower end
LEFT, RIGHT, TOP, BOTTOM = 12.0, 98.5, 8.0, 92.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """What the page tells. `points` are (tensor, operator, error in units of its scale); `first` is the tensor that
    parts first ("": none was found)."""

    title: str
    said: str
    facts: tuple[tuple[str, str], ...]
    points: tuple[tuple[str, str, float], ...]
    first: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One tensor: its place in percent, the place of the one before it, and its words."""

    x: float
    y: float
    from_x: float
    from_y: float
    tensor: str
    op: str
    error: str
    first: bool


def growth_html(told: Growth) -> str:
    """The page; the same bytes for the same growth."""
    from envctl.page.web import template_page

    axis = decades([max(error, LEAST) for _, _, error in told.points], start=BOTTOM, end=TOP)
    return template_page(
        "growth.html.jinja",
        told=told,
        title=printable(told.title),
        points=_points(told.points, told.first, axis),
        ticks=[(f"{value:.0e}", axis.at(value)) for value in round_values(axis, 6)],
        edges=(LEFT, RIGHT),
    )


def _points(found: Sequence[tuple[str, str, float]], first: str, axis: Axis) -> list[Point]:
    step = (RIGHT - LEFT) / max(len(found), 1)
    places = [
        (round(LEFT + (index + 0.5) * step, 2), axis.at(max(error, LEAST))) for index, (_, _, error) in enumerate(found)
    ]
    pairs = zip(found, places, [*places[:1], *places], strict=False)
    return [
        Point(
            x=x, y=min(max(y, 0.0), FULL), from_x=from_x, from_y=from_y, tensor=printable(tensor), op=printable(op),
            error=f"{error:.1e}", first=tensor == first,
        )
        for (tensor, op, error), (x, y), (from_x, from_y) in pairs
    ]  # fmt: skip
