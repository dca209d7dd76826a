"""A comparison beside an older one, on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envctl.bench.against import Against, Change
from envctl.page.figures import digits, error_text, seconds, size
from envctl.page.rows import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

STYLE = {"worse": "bold red", "better": "green", "unclear": "yellow"}
ORDER = ("worse", "unclear", "better")


def changes(result: Against) -> RenderableType:
    """What is worse, unclear or better, a line each; how many figures are the same; what must be known."""
    from rich.console import Group
    from rich.text import Text

    told = sorted(
        (each for each in result.changes if each.finding in ORDER), key=lambda each: ORDER.index(each.finding)
    )
    same = sum(each.finding == "same" for each in result.changes)
    ends = [Text(f"{same} figures are the same within their noise", style="dim")]
    notes = [Text(f"note: {printable(note)}", style="dim") for note in result.notes]
    return Group(Text(""), Text("against the earlier comparison", style="bold"), *map(_line, told), *ends, *notes)


def _line(change: Change) -> Text:
    from rich.text import Text

    moved = f"{_shown(change, change.old)} to {_shown(change, change.new)}" if change.new is not None else ""
    by = (
        f" ({change.ratio - 1:+.1%})"
        if change.ratio is not None and change.figure not in ("error", "1 - cosine")
        else ""
    )
    said = Text(f"{change.finding:<8}", style=STYLE[change.finding])
    figures = f" {moved}{by};" if moved else ""
    return said + Text(f"{printable(change.cell)}  {change.figure}{figures} {printable(change.why)}")


def _shown(change: Change, value: float | None) -> str:
    if value is None:
        return "?"
    if change.figure == "latency":
        return seconds(value)
    if change.figure == "memory":
        return size(value)
    return f"{digits(value)} /s" if change.figure == "throughput" else error_text(value)
