"""How far a cell's answers are from the reference's, in one figure."""

from __future__ import annotations

from math import isnan

from envctl.bench.document import Cell, OutputError


def relative(output: OutputError) -> float:
    """The largest error in units of the output's scale; not-a-number counts as infinite."""
    ratio = output.max_abs / output.scale if output.scale else output.max_abs
    return float("inf") if isnan(ratio) else ratio


def worst_error(cell: Cell) -> float | None:
    """The largest error of any output in units of its scale; None: not compared."""
    return max(map(relative, cell.verdict.outputs), default=None) if cell.verdict else None
