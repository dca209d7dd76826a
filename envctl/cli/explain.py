"""`envctl explain FILE|-`, `envctl explain -- COMMAND`: the cause of an error, from its log and this host's facts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from envctl.cli import options
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.diagnose.rank import Cause
    from envctl.workflow.explain import Explained

UNKNOWN = 1
WORDS = {"sure": "cause", "likely": "likely cause", "possible": "possible cause"}


class _Command(TyperCommand):
    """Takes what follows a bare `--` as a command to run."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if "--" in args:
            place = args.index("--")
            args, ctx.obj = args[:place], args[place + 1 :]
        return super().parse_args(ctx, args)


app = typer.Typer(rich_markup_mode=None, add_completion=False)

File = Annotated[str | None, typer.Argument(metavar="FILE|- | -- COMMAND", help="A log; - is standard input.")]
Host = Annotated[
    str, typer.Option("--host", metavar="this|FILE|'driver=535.104.05 gpu=8.6'", help="The machine of the log.")
]


@app.command(cls=_Command)
def explain(ctx: typer.Context, file: File = None, host: Host = "this", as_json: options.Json = False) -> None:
    """Find what went wrong in a log, or in what a command prints: cause, fix, and the check that would have told.

    Exit code 0 when the cause was found, 1 when it is not known; with a COMMAND, that of the command.
    """
    from envctl.errors import BadInput
    from envctl.workflow.explain import described, explain_command, explain_file

    screen = Screen(as_json)
    with guarded(screen):
        command: list[str] = ctx.obj or []
        if bool(file) == bool(command):
            raise BadInput("give a log, - for standard input, or -- COMMAND", do=["envctl explain build.log"])
        facts = described(host)
        found = explain_command(command, facts, quiet=as_json) if command else explain_file(file or "-", facts)
        _print(screen, found)
    raise typer.Exit(found.code if found.code is not None else 0 if found.causes else UNKNOWN)


def _print(screen: Screen, found: Explained) -> None:
    if screen.as_json:
        status = "explained" if found.causes else "unknown" if found.code != 0 else "nothing-failed"
        causes = [_data(cause) for cause in found.causes]
        screen.print_json({"status": status, "lines": found.lines, "exit_code": found.code, "causes": causes})
        return
    if found.code == 0:
        return
    # a command's own output is on standard output: the answer does not mix with it
    out = sys.stdout if found.code is None else sys.stderr
    for index, cause in enumerate(found.causes):
        print("\n".join(_lines(cause, first=index == 0)), file=out)
    if not found.causes:
        print(f"unknown: nothing in these {found.lines} lines is an error that envctl knows", file=out)


def _lines(cause: Cause, *, first: bool) -> list[str]:
    """One cause in words, in the shape of errors: what, because, do."""
    rule = cause.rule
    head = WORDS[cause.confidence] if first else "or else"
    label = f"  line {cause.hit.number}  "
    lines = [f"{head}: {cause.cause}", f"{label}{cause.hit.text}"]
    lines += [f"    {word}" for word in cause.because]
    lines += [f"  {'fix' if index == 0 else '   '}  {step}" for index, step in enumerate(cause.fix)]
    if rule.check:
        lines.append(f"  check  {rule.check}")
    return [*lines, f"  source  {rule.source or 'none found'}  [{rule.evidence}]"]


def _data(cause: Cause) -> dict[str, Any]:
    rule = cause.rule
    return {
        "id": rule.id,
        "component": rule.component,
        "cause": cause.cause,
        "confidence": cause.confidence,
        "score": cause.score,
        "severity": rule.severity,
        "line": cause.hit.number,
        "text": cause.hit.text,
        "because": list(cause.because),
        "fix": list(cause.fix),
        "check": rule.check or None,
        "source": rule.source or None,
        "evidence": rule.evidence,
    }
