"""The help of every command as one page, and the table of doctor's checks: `python3 tasks.py docs` writes both into
docs/, a test compares them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from envctl.cli.app import app

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
DOCTOR = PAGE.parent / "doctor.md"
BEGIN, END = "<!-- checks: written by python3 tasks.py docs -->", "<!-- end of checks -->"


def commands(path: tuple[str, ...] = (), command: Any = None) -> Iterator[tuple[str, ...]]:
    """Every command that the program shows, each before its subcommands."""
    command = command or typer.main.get_command(app)
    if command.hidden:
        return
    yield path
    if isinstance(command, TyperGroup):
        context = typer.Context(command)
        for name in command.list_commands(context):
            yield from commands((*path, name), command.get_command(context, name))


def page() -> str:
    """The page, with the program's own words at 100 columns."""
    parts = ["# Commands\n\nWritten by `python3 tasks.py docs` from the program's own help.\n"]
    for command in commands():
        name = " ".join(["envctl", *command])
        parts.append(f"\n## {name}\n\n```\n{help_of(command)}```\n")
    return "".join(parts)


def help_of(command: tuple[str, ...]) -> str:
    """What `envctl COMMAND --help` prints; a subcommand of `run` needs no pins for that."""
    variables = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    arguments = [sys.executable, "-m", "envctl", *command, "--help"]
    done = subprocess.run(arguments, env=variables, capture_output=True, text=True, check=True)
    return done.stdout.replace("python -m envctl", "envctl").rstrip() + "\n"


def with_checks(text: str) -> str:
    """The page on `envctl doctor` with the program's own list of checks between the two marks."""
    command = [sys.executable, "-m", "envctl", "doctor", "--list", "--json"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["checks"]
    rows = [f"| `{it['id']}` | {it['title']} | {', '.join(map(_code, it['after']))} | {_link(it)} |" for it in listed]
    table = "\n".join(["| id | check | follows from | why |", "| --- | --- | --- | --- |", *rows])
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"


def _code(name: str) -> str:
    return f"`{name}`"


def _link(check: dict[str, str]) -> str:
    """Pages are linked; what was measured here stands in docs/evidence.md."""
    source = check["source"]
    if source.startswith("docs/"):
        return f"[source]({source.removeprefix('docs/').removeprefix('doctor.md')})"
    if source.startswith("measured:docs/"):
        return f"[measured]({source.removeprefix('measured:docs/')})"
    return f"[source]({source})" if source else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    DOCTOR.write_text(with_checks(DOCTOR.read_text(encoding="utf-8")), encoding="utf-8")
