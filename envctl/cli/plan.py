"""A run's preview on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from envctl.cli.stack import row
from envctl.report import limits
from envctl.workflow.preview import Part, Preview

MADE = {True: "made", False: "to be made", None: "not looked for"}


def print_preview(found: Preview) -> None:
    """What would be done: steps, environments, precision and tolerance."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(Text("PLAN", style="bold yellow") + Text("  nothing was made or run"))
    row(console, "model", f"{found.model.path} ({found.model.format}, {found.model.precision()})")
    row(console, "runner", f"{found.runner} ({found.runner_why})")
    for number, (step, what) in enumerate(found.steps, 1):
        row(console, f"step {number}", f"{step}: {what}")
    for part in found.parts:
        row(console, part.role, environment_line(part))
    row(console, "precision", f"{found.precision} expected: {found.way}; what ran is read back")
    for doubt in found.doubts:
        row(console, "doubt", doubt)
    row(console, "tolerance", limits(found.tolerance) if found.tolerance else "")


def environment_line(part: Part) -> str:
    """Engine, Python, lock and whether it is there."""
    lock = f"lock {part.lock.digest[:12]}" if part.lock else "lock to be resolved"
    return f"{part.plan.title}, CPython {part.plan.stack.version('python')} ({lock}; environment {MADE[part.made]})"
