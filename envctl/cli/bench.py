"""`envctl bench`: one model with one engine."""

from __future__ import annotations

import typer

from envctl.cli.measuring import command
from envctl.cli.versions_said import ListedCommand

app = typer.Typer(rich_markup_mode=None, add_completion=False)
app.command(
    "bench",
    cls=ListedCommand,
    help="Measure MODEL with one engine: verdict, load time, latency, throughput, memory, energy, size.",
)(command("bench"))
