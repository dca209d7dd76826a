"""The table on the terminal: 100 columns, the best marked, and why a cell has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envctl.page.figures import COLUMNS, best, shown
from envctl.page.rows import Document, Row, Sort, ordered, printable, rows

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

WIDTH = 100
NAMES = 32
STYLE = {"passed": "green", "failed": "bold red"}
MARK = {"passed": "✓", "failed": "✗"}


def table(document: Document, sort: Sort = "latency") -> RenderableType:
    """The cells, best first; below them the reason of each that did not pass, and what the marks mean."""
    from rich.console import Group

    found = ordered(rows(document), sort)
    return Group(_table(found, sort), *_reasons(found), *_notes(document, found))


def _table(found: tuple[Row, ...], sort: Sort) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, width=WIDTH, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    made.add_column("#", justify="right", width=3)
    made.add_column("cell", ratio=1, overflow="fold")
    for column in COLUMNS:
        arrow = (" ↑" if column.up else " ↓") if column.key == sort else ""
        made.add_column(f"{column.title}{arrow}\n{column.unit}", justify="right", no_wrap=True)
    for cells in _cells(found):
        made.add_row(*cells)
    return made


def _cells(found: tuple[Row, ...]) -> list[list[Text]]:
    from rich.text import Text

    texts = [shown(column, found) for column in COLUMNS]
    firsts = [best(found, column) for column in COLUMNS]
    lines = []
    for index, row in enumerate(found):
        mark = MARK.get(row.status, "!")
        name = Text(f"{mark} ", style=STYLE.get(row.status, "yellow")).append(_name(row), style="default")
        figures = [_figure(text[index], row, row.number in first) for text, first in zip(texts, firsts, strict=True)]
        if row.latency is not None and not row.stable:
            figures[0] = Text("~", style="yellow") + figures[0]
        lines.append([Text(str(row.number), style="dim"), name, *figures])
    return lines


def _name(row: Row) -> str:
    return f"{row.name} {row.variant}"


def _figure(text: str, row: Row, first: bool) -> Text:
    from rich.text import Text

    if first:
        return Text(f"*{text}", style="bold green")
    return Text(text, style="" if row.passed else "dim")


def _reasons(found: tuple[Row, ...]) -> list[Text]:
    """A paragraph for each cell that did not pass: what, because, do."""
    from rich.text import Text

    lines = []
    for row in found:
        if row.passed:
            continue
        lines.append(Text(f"{row.number:>3} {row.status}: {row.reason.what or 'no reason was recorded'}"))
        lines += [Text(f"      {text}{f'  ({source})' if source else ''}") for text, source in row.reason.because]
        lines += [Text(f"      hint: {text}") for text in row.reason.do]
    return [Text(""), *lines] if lines else []


def _notes(document: Document, found: tuple[Row, ...]) -> list[Text]:
    from rich.text import Text

    notes = ["* the best of the cells that passed with the same batch, threads and copies"]
    if any(not row.stable for row in found if row.latency is not None):
        limit = (document.get("settings") or {}).get("cv_limit") or 0.05
        notes.append(f"~ unstable: its rounds still differed by more than {limit:.0%}")
    notes += [f"note: {printable(text)}" for text in (document.get("noise") or {}).get("notes") or ()]
    return [Text(""), *(Text(note, style="dim") for note in notes)]
