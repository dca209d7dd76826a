"""`envctl resolve`: one consistent stack, or the shortest proof that there is none; or all that a machine can run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from envctl.cli import groups, options
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.solver import Stack
    from envctl.workflow.resolve import Runnable

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Host = Annotated[
    str, typer.Option("--host", metavar="this|FILE|'driver=535.104.05 gpu=8.6'", help="The machine it is for.")
]
All = Annotated[bool, typer.Option("--all", help="List every version of every engine that the machine can run.")]
Ptx = Annotated[bool, typer.Option("--ptx", help="The driver compiles PTX (own kernels, NVRTC, Triton).")]
Features = Annotated[list[str], typer.Option("--feature", metavar="NAME", help="Ask for a feature too, e.g. TF-TRT.")]
Prefer = Annotated[str, typer.Option("--prefer", metavar="newest|measured", help="measured: what passed here before.")]


@app.command()
@groups.grouped
def resolve(
    *,
    pinned: groups.Pinned,
    pin: options.Pins = [],  # noqa: B006
    host: Host = "this",
    every: All = False,
    ptx: Ptx = False,
    prefer: Prefer = "newest",
    feature: Features = [],  # noqa: B006
    as_json: options.Json = False,
) -> None:
    """Find one consistent stack of the newest versions that fit, each with its source; or prove that there is none."""
    from envctl.cli.pins import read_pins
    from envctl.errors import BadInput
    from envctl.workflow.resolve import resolve as find
    from envctl.workflow.resolve import runnable

    screen = Screen(as_json)
    with guarded(screen):
        if prefer not in ("newest", "measured"):
            raise BadInput(f"--prefer {prefer!r} is unknown", do=["newest or measured"])
        pins = read_pins(pinned, pin)
        if every:
            _print_all(screen, runnable(pins, host))
        else:
            _print(screen, find(pins, host, ptx=ptx, prefer=prefer, features=tuple(feature)))


def _print(screen: Screen, stack: Stack) -> None:
    if screen.as_json:
        screen.print_json({"status": "resolved", "stack": asdict(stack)})
        return
    from rich.console import Console

    from envctl.cli.stack import print_choices, print_unmet, row

    console = Console(soft_wrap=True, highlight=False)
    print_choices(console, stack)
    for name, specs in sorted(stack.constraints.items()):
        row(console, name, f"{','.join(specs)}  (a Python package: the lock chooses)")
    print_unmet(console, stack)


def _print_all(screen: Screen, found: list[Runnable]) -> None:
    if screen.as_json:
        screen.print_json({"engines": [asdict(each) for each in found]})
        return
    for each in found:
        for where, versions in (("GPU", each.gpu), ("CPU", each.cpu)):
            if versions:
                print(f"{each.engine:<22} {where}  {' '.join(versions)}")
        if each.why_not:
            print(f"{each.engine:<22} none: {'; '.join(each.why_not[-3:])}")
    unknown = sorted({name for each in found for name in each.unknown})
    if unknown:
        print(f"not known of this machine, and needed: {', '.join(unknown)}")
