"""The table on the terminal: 100 columns, the best marked, and why a cell has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envctl.bench.document import Document
from envctl.page.figures import best, columns, shown
from envctl.page.rows import Row, Sort, ordered, printable, rows

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
    for column in columns(found):
        arrow = (" ↑" if column.up else " ↓") if column.key == sort else ""
        made.add_column(f"{column.title}{arrow}\n{column.unit}", justify="right", no_wrap=True)
    for cells in _cells(found):
        made.add_row(*cells)
    return made


def _cells(found: tuple[Row, ...]) -> list[list[Text]]:
    from rich.text import Text

    texts = [shown(column, found) for column in columns(found)]
    firsts = [best(found, column) for column in columns(found)]
    lines = []
    for index, row in enumerate(found):
        mark = MARK.get(row.cell.status, "!")
        name = Text(f"{mark} ", style=STYLE.get(row.cell.status, "yellow")).append(_name(row), style="default")
        figures = [_figure(text[index], row, row.number in first) for text, first in zip(texts, firsts, strict=True)]
        if not row.stable:
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


def _reasons(found: tuple[Row, ...]) -> list[RenderableType]:
    """A paragraph for each cell that did not pass: what, because, do."""
    from rich.padding import Padding
    from rich.text import Text

    lines = [line for row in found if not row.passed for line in _reason(row)]
    padded = [Padding(Text(line), (0, 0, 0, 6 if depth else 0)) for depth, line in lines]
    return [Text(""), *padded] if padded else []


def _reason(row: Row) -> list[tuple[int, str]]:
    """What, because, do: each line with its depth."""
    reason = row.cell.reason
    what = printable(reason.what) if reason else "no reason was recorded"
    lines = [(0, f"{row.number:>3} {row.cell.status}: {what}")]
    for because in reason.because if reason else ():
        lines.append((1, f"{printable(because.text)}{f'  ({printable(because.source)})' if because.source else ''}"))
    return [*lines, *((1, f"hint: {printable(text)}") for text in (reason.do if reason else ()))]


def _notes(document: Document, found: tuple[Row, ...]) -> list[Text]:
    from rich.text import Text

    notes = ["* the best of the cells that passed with the same batch, threads and copies"]
    if not all(row.stable for row in found):
        notes.append(f"~ unstable: its rounds still differed by more than {document.settings.cv_limit:.0%}")
    notes += [f"note: {printable(text)}" for text in document.noise.notes]
    return [Text(""), *(Text(note, style="dim") for note in notes)]
