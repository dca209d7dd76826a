"""Where in a tensor the errors are: a map of its blocks in nine steps, and the worst of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, isnan

from envctl.bench import document
from envctl.bench.document import Cell
from envctl.page.figures import error_text
from envctl.page.rows import printable

STEPS, WORST = 9, 5
MOST_ROWS, MOST_COLS = 48, 96
Grid = list[list[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Heat:
    """A map, `tall` pixels high: a path for each step (its squares), another for what is no number, the steps' limits,
    the worst blocks."""

    tensor: str
    rows: int
    cols: int
    tall: int
    paths: tuple[str, ...]
    broken: str
    limits: tuple[str, ...]
    worst: tuple[tuple[int, int, str], ...]
    peak: tuple[int, int]


def heats(cell: Cell) -> tuple[Heat, ...]:
    """A map for each output of a cell that has one."""
    outputs = cell.verdict.outputs if cell.verdict else ()
    return tuple(heat(printable(output.name), output.heat) for output in outputs if output.heat and output.heat.values)


def heat(tensor: str, given: document.Heat) -> Heat:
    """The map of one tensor; a larger grid than can be seen is joined to blocks with the largest error of each."""
    values = [float("inf") if isnan(value) else value for value in given.values]
    grid = pooled([values[start : start + given.cols] for start in range(0, len(values), given.cols)])
    places = [(value, row, col) for row, line in enumerate(grid) for col, value in enumerate(line)]
    top = max((value for value, _, _ in places if isfinite(value)), default=0.0)
    steps: list[list[str]] = [[] for _ in range(STEPS + 1)]
    for value, row, col in places:
        steps[_step(value, top)].append(f"M{col} {row}h1v1h-1z")
    worst = sorted(places, key=lambda place: (-place[0], place[1], place[2]))[:WORST]
    return Heat(
        tensor=tensor,
        rows=len(grid),
        cols=len(grid[0]),
        tall=max(24, min(280, 12 * len(grid))),
        paths=tuple("".join(step) for step in steps[:STEPS]),
        broken="".join(steps[STEPS]),
        limits=tuple(error_text(top * step / STEPS) for step in range(STEPS + 1)),
        worst=tuple((row + 1, col + 1, error_text(value)) for value, row, col in worst),
        peak=(worst[0][1], worst[0][2]),
    )


def _step(value: float, top: float) -> int:
    """Which of the steps a value belongs to; STEPS: it is no number."""
    if not isfinite(value):
        return STEPS
    return min(STEPS - 1, int(value / top * STEPS)) if top else 0


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
    return max(found, default=0.0)
