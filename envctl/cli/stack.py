"""A stack on the terminal: every choice with its reasons, and what the machine leaves open."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from envctl.solver import Stack

LABEL, WIDEST = 14, 20


def row(console: Console, label: str, text: str) -> None:
    """A line with its label; nothing for an empty text."""
    if text:
        console.print(Text(f"  {label:<{LABEL - 3}} ", style="dim") + Text(text))


def print_choices(console: Console, stack: Stack) -> None:
    """Each version of a stack with its reasons and the source of the release or fact."""
    for choice in stack.choices.values():
        version = choice.version if len(choice.version) <= WIDEST else "known"  # a CPU has a hundred ISA bits
        row(console, choice.name, f"{version:<10} {'; '.join(choice.why)}  [{choice.source}]")


def print_unmet(console: Console, stack: Stack) -> None:
    """What the stack needs of a host, and this one was not seen to have; and features that it does without."""
    for claim in stack.without:
        text = f"{claim.feature}: {claim.owner} needs {claim.name} {claim.condition} for it  [{claim.source}]"
        row(console, "without", text)
    for claim in stack.unmet:
        row(
            console,
            "unmet",
            f"{claim.owner} needs {claim.name} {claim.condition}; not known of this host  [{claim.source}]",
        )
