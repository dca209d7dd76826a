"""A comparison beside an older one, on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envctl.bench.against import Against, Change
from envctl.page.figures import digits, error_text, seconds, size
from envctl.page.rows import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

STYLE = {"worse": "bold red", "better": "green", "unclear": "yellow"}
ORDER = ("worse", "unclear", "better")


def changes(result: Against) -> RenderableType:
    """What is worse, unclear or better, a line each; how many figures are the same; what must be known."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    told = sorted((each for each in result.changes if each.finding in ORDER), key=_rank)
    lines = Table.grid(padding=(0, 2, 0, 0))
    for each in told:
        lines.add_row(Text(each.finding, style=STYLE[each.finding]), Text(f"{printable(each.cell)}\n{_said(each)}"))
    same = sum(each.finding == "same" for each in result.changes)
    ends = [Text(f"{same} figures are the same within their noise", style="dim")]
    notes = [Text(f"note: {printable(note)}", style="dim") for note in result.notes]
    return Group(Text(""), Text("against the earlier comparison", style="bold"), lines, *ends, *notes)


def _rank(change: Change) -> int:
    return ORDER.index(change.finding)


def _said(change: Change) -> str:
    """The figure, before and now, and why."""
    if change.new is None:
        return f"{change.figure}: {printable(change.why)}"
    counted = change.figure not in ("error", "1 - cosine") and change.ratio is not None
    by = f" ({(change.ratio or 1) - 1:+.1%})" if counted else ""
    return f"{change.figure} {_shown(change, change.old)} to {_shown(change, change.new)}{by}; {printable(change.why)}"


def _shown(change: Change, value: float | None) -> str:
    if value is None:
        return "?"
    if change.figure == "latency":
        return seconds(value)
    if change.figure == "memory":
        return size(value)
    return f"{digits(value)} /s" if change.figure == "throughput" else error_text(value)
