"""`envctl compare`: one model over engines, versions, precisions and batches."""

from __future__ import annotations

import typer

from envctl.cli.measuring import command
from envctl.cli.versions_said import ListedCommand

app = typer.Typer(rich_markup_mode=None, add_completion=False)
app.command(
    "compare",
    cls=ListedCommand,
    help="Measure MODEL with every engine named, at each of its versions (--openvino 2026.4,2024.6 --litert).",
)(command("compare"))
