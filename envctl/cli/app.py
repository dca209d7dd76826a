"""The program's root. A command's module is imported when that command is called: help and start stay instant."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from envctl import __version__

# name -> what it does in a line; its module in this package has an `app`
COMMANDS = {
    "run": "Convert, run and verify a model in a pinned environment.",
    "compare": "Measure a model over engines, versions, precisions: correctness, latency, memory, size.",
    "bench": "Measure a model with one engine: the same for one cell.",
    "debug": "Find the first node where an engine and the reference part.",
    "inspect": "Say what a model file is: format, inputs and outputs, versions, operators, risks.",
    "doctor": "Say what is broken on this machine, what mends it, and what runs here.",
    "resolve": "Find one consistent stack for a machine, or the proof that there is none.",
    "lock": "Lock environments: stack, base and every package with its hash, in one file.",
    "matrix": "Show and check the facts that envctl knows.",
    "conformance": "Run ONNX's node tests through an engine, and count what it does by operator.",
    "cdi": "Write how containers are given this machine's NVIDIA GPUs, without NVIDIA's toolkit.",
    "explain": "Find the cause of an error in a log, with its fix.",
    "build": "Make the image of an environment: the same bits everywhere.",
    "verify-image": "Prove that an image is the one that a lock describes, or name the first difference.",
    "cache": "Show, prune and verify what envctl keeps.",
    "bundle": "Everything to run locked environments without network, in a folder.",
    "unbundle": "Fill the cache from such a folder.",
    "ci": "Write a CI file that checks locks and verifies a model in each environment.",
    "base": "Make base images from Debian packages, list them, copy them to a registry.",
    "push": "Push an image in a folder or archive to a registry.",
}


TASKS = ("convert", "infer", "verify")


class _Commands(TyperGroup):
    """The commands of the table above."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        if cmd_name in TASKS:
            ctx.fail(
                f"No such command {cmd_name!r}: it is a task of `run`, as in envctl run --ort 1.31 {cmd_name} MODEL"
            )
        if cmd_name not in COMMANDS:
            return None
        return typer.main.get_command(import_module("envctl.cli." + cmd_name.replace("-", "_")).app)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="envctl",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        print(f"envctl {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Pinned environments and verified conversions for deep-learning inference engines."""
