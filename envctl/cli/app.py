"""The program's root: global options and the command groups."""

from __future__ import annotations

from typing import Annotated

import typer

from envctl import __version__
from envctl.cli import base, run

app = typer.Typer(
    name="envctl",
    help="Pinned environments and verified conversions for deep-learning inference engines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(run.app, name="run")
app.command("base")(base.base)


def _version(value: bool) -> None:
    if value:
        print(f"envctl {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Pinned environments and verified conversions for deep-learning inference engines."""
