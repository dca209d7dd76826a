"""The help of every command as one page, and the table of doctor's checks: `python3 tasks.py docs` writes both into
docs/, a test compares them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
DOCTOR = PAGE.parent / "doctor.md"
BEGIN, END = "<!-- checks: written by python3 tasks.py docs -->", "<!-- end of checks -->"
COMMANDS = (
    [],
    ["run"],
    ["run", "convert"],
    ["run", "verify"],
    ["run", "infer"],
    ["inspect"],
    ["matrix"],
    ["matrix", "show"],
    ["matrix", "check"],
    ["matrix", "ask"],
    ["matrix", "range"],
    ["matrix", "update"],
    ["resolve"],
    ["doctor"],
    ["cdi"],
    ["explain"],
    ["conformance"],
    ["ci"],
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
    ["verify-image"],
    ["base"],
    ["base", "make"],
    ["base", "ls"],
    ["base", "mirror"],
    ["push"],
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
