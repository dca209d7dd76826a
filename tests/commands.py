"""The help of every command as one page: `python3 tasks.py docs` writes docs/commands.md, a test compares it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
COMMANDS = (
    [],
    ["run"],
    ["run", "convert"],
    ["run", "verify"],
    ["run", "infer"],
    ["matrix"],
    ["matrix", "show"],
    ["matrix", "check"],
    ["matrix", "ask"],
    ["matrix", "range"],
    ["matrix", "update"],
    ["resolve"],
    ["doctor"],
    ["explain"],
    ["build"],
    ["bundle"],
    ["unbundle"],
    ["lock"],
    ["lock", "diff"],
    ["lock", "export"],
    ["cache"],
    ["cache", "ls"],
    ["cache", "prune"],
    ["cache", "verify"],
    ["base"],
)


def page() -> str:
    """The page, with the program's own words at 100 columns."""
    parts = ["# Commands\n\nWritten by `python3 tasks.py docs` from the program's own help.\n"]
    for command in COMMANDS:
        name = " ".join(["envctl", *command])
        parts.append(f"\n## {name}\n\n```\n{help_of(command)}```\n")
    return "".join(parts)


def help_of(command: list[str]) -> str:
    """What `envctl COMMAND --help` prints; a subcommand of `run` needs no pins for that."""
    variables = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    arguments = [sys.executable, "-m", "envctl", *command, "--help"]
    done = subprocess.run(arguments, env=variables, capture_output=True, text=True, check=True)
    return done.stdout.replace("python -m envctl", "envctl").rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
