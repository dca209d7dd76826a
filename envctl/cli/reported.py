"""How a comparison is shown: the options for it, and what they lead to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from envctl.cli.screen import Screen
from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.bench.against import Against
    from envctl.bench.document import Document
    from envctl.page.rows import Sort

SORTS = ("latency", "throughput", "memory", "size", "error", "load")  # those of envctl.page.rows (a test compares)
SortBy = Annotated[str, typer.Option("--sort", metavar="BY", help=f"{', '.join(SORTS)}.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page of its own, without network.")]
OldFile = Annotated[
    Path | None,
    typer.Option("--against", metavar="FILE", help="Compare with an earlier FILE; what is worse ends with code 1."),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What was asked to be shown; `old` is the document to compare with."""

    sort: Sort
    form: str
    html: Path | None
    old: Document | None


def wanted(given: dict[str, Any]) -> Wanted:
    """The options, read before anything is measured: a wrong one costs no hour."""
    from envctl.bench.reading import load
    from envctl.workflow.deliver import check_file

    if given["sort"] not in SORTS:
        raise BadInput(f"--sort {given['sort']!r} is unknown", do=[f"one of {', '.join(SORTS)}"])
    forms = [name for name in ("as_json", "csv", "markdown") if given[name]]
    if len(forms) > 1:
        raise BadInput("one form can be printed at a time", do=["one of --json, --csv, --markdown"])
    if given["html"]:
        check_file(given["html"])
    old = load(given["against"]) if given["against"] else None
    return Wanted(sort=cast("Sort", given["sort"]), form="".join(forms), html=given["html"], old=old)


def show(document: Document, shown: Wanted, screen: Screen) -> int:
    """Show the document; 1 where something is worse than in the one that it was to be compared with, else 0."""
    from envctl.bench.against import against

    result = against(shown.old, document) if shown.old else None
    if shown.html:
        from envctl.page import html
        from envctl.tree import write_whole

        write_whole(shown.html, html(document))
    _print(document, shown, result, screen)
    return int(bool(result and result.regressed))


def _print(document: Document, shown: Wanted, result: Against | None, screen: Screen) -> None:
    from envctl import page
    from envctl.bench.reading import as_data

    if shown.form == "as_json":
        screen.print_json(as_data(document) | ({"against": asdict(result)} if result else {}))
    elif shown.form:
        print(page.csv(document) if shown.form == "csv" else page.markdown(document, shown.sort), end="")
    else:
        from rich.console import Console

        console = Console(width=page.WIDTH, highlight=False)
        console.print(page.table(document, shown.sort))
        if result:
            console.print(page.changes(result))
        if shown.html:
            console.print(f"wrote {shown.html}", soft_wrap=True, markup=False)
