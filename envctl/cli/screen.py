"""What a command shows: progress on standard error, its result on standard output, errors in one shape."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING, Any

import typer

from envctl.cli.stopping import INTERRUPTED, STOPPED, is_interrupt
from envctl.errors import EnvctlError

if TYPE_CHECKING:
    from rich.status import Status

    from envctl.workflow.plan import Plan


class Screen:
    """Shows progress (a spinner on a terminal, else a line a step) and remembers plans that are not carried out yet."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.plans: dict[str, Plan] = {}
        self.spinner: Status | None = None

    def say(self, text: str) -> None:
        """Show what is being done now; nothing when it is empty."""
        if not sys.stderr.isatty():
            if text:
                print(f"… {text}", file=sys.stderr, flush=True)
            return
        self.quiet()
        if text:
            from rich.console import Console

            self.spinner = Console(stderr=True).status(text)
            self.spinner.start()

    def planned(self, role: str, plan: Plan) -> None:
        """Keep a plan: should its environment not come to be, it is shown with the error."""
        self.plans[role] = plan

    def prepared(self, role: str) -> None:
        """The plan was carried out; what goes wrong now is not about it."""
        self.plans.pop(role, None)

    def quiet(self) -> None:
        """Take the spinner away."""
        if self.spinner:
            self.spinner.stop()
            self.spinner = None

    def fail(self, error: EnvctlError) -> None:
        """Show an error and the plans that led to it."""
        self.quiet()
        if self.as_json:
            self.print_json({"status": "error", "error": error.as_data(), "plans": self._plans_data()})
            return
        from envctl.report import error_text

        self._print_plans()
        print(error_text(error), file=sys.stderr)

    def _plans_data(self) -> dict[str, Any]:
        if not self.plans:
            return {}
        from envctl.workflow.outcome import plan_data

        return {role: plan_data(plan) for role, plan in self.plans.items()}

    def _print_plans(self) -> None:
        if self.plans:
            from envctl.cli.result import print_plan

            for role, plan in self.plans.items():
                print_plan(role, plan)

    @staticmethod
    def print_json(data: dict[str, Any]) -> None:
        """One JSON document on standard output; infinities and NaN, which JSON lacks, as words."""
        import json

        print(json.dumps(_plain(data), indent=2, sort_keys=True))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value


@contextmanager
def guarded(screen: Screen) -> Iterator[None]:
    """Turn our errors and Ctrl-C into what the user sees and the exit code he gets."""
    try:
        yield
    except BaseException as error:
        if is_interrupt(error):  # whatever was made of it on its way
            screen.quiet()
            print(STOPPED, file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        if isinstance(error, EnvctlError):
            screen.fail(error)
            raise typer.Exit(error.code) from None
        raise
    finally:
        screen.quiet()
