"""Where in a tensor the errors are: a map of its blocks in nine steps, and the worst of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from envctl.page.figures import error_text
from envctl.page.rows import number_of, printable

STEPS, WORST = 9, 5
MOST_ROWS, MOST_COLS = 48, 96
Grid = list[list[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Heat:
    """A map: a path for each step (its squares), one for what is no number, the worst places and what the steps mean."""

    tensor: str
    rows: int
    cols: int
    paths: tuple[str, ...]
    broken: str
    limits: tuple[str, ...]
    worst: tuple[tuple[int, int, str], ...]
    peak: tuple[int, int]


def heats(cell: Mapping[str, Any]) -> tuple[Heat, ...]:
    """A map for each output of a cell that has one."""
    outputs = (cell.get("verdict") or {}).get("outputs") or ()
    return tuple(heat(printable(output["name"]), output["heat"]) for output in outputs if output.get("heat"))


def heat(tensor: str, given: Mapping[str, Any]) -> Heat:
    """The map of one tensor; a larger grid than can be seen is joined to blocks of the largest error."""
    values = [float("inf") if value is None else number_of(value) or 0.0 for value in given["values"]]
    cols = int(given["cols"])
    grid = pooled([values[start : start + cols] for start in range(0, len(values), cols)])
    places = [
        (value if value == value else float("inf"), r, c) for r, line in enumerate(grid) for c, value in enumerate(line)
    ]
    top = max((value for value, _, _ in places if isfinite(value)), default=0.0)
    steps: list[list[str]] = [[] for _ in range(STEPS + 1)]
    for value, row, col in places:
        step = STEPS if not isfinite(value) else min(STEPS - 1, int(value / top * STEPS)) if top else 0
        steps[step].append(f"M{col} {row}h1v1h-1z")
    worst = sorted(places, key=lambda place: (-place[0], place[1], place[2]))[:WORST]
    return Heat(
        tensor=tensor,
        rows=len(grid),
        cols=max(map(len, grid), default=0),
        paths=tuple("".join(step) for step in steps[:STEPS]),
        broken="".join(steps[STEPS]),
        limits=tuple(error_text(top * step / STEPS) for step in range(STEPS + 1)),
        worst=tuple((row + 1, col + 1, error_text(value)) for value, row, col in worst),
        peak=(worst[0][1], worst[0][2]) if worst else (0, 0),
    )


def pooled(grid: Grid) -> Grid:
    """The grid, or one of at most MOST_ROWS x MOST_COLS blocks with the largest value of each."""
    tall = -(-len(grid) // MOST_ROWS)
    wide = -(-max(map(len, grid), default=1) // MOST_COLS)
    if tall == wide == 1:
        return grid
    bands = [grid[start : start + tall] for start in range(0, len(grid), tall)]
    return [[_largest(band, start, wide) for start in range(0, len(band[0]), wide)] for band in bands]


def _largest(band: Sequence[Sequence[float]], start: int, wide: int) -> float:
    found = [value for line in band for value in line[start : start + wide]]
    return max((value if value == value else float("inf") for value in found), default=0.0)
