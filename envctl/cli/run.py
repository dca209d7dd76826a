"""`envctl run [pins] convert|infer|verify MODEL`, `envctl run [pins] -- COMMAND`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from envctl.cli import groups, options
from envctl.cli.asked import plain, read
from envctl.cli.groups import grouped
from envctl.cli.placed import options_of, placed
from envctl.cli.screen import Screen, guarded
from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.host import Probes
    from envctl.lockfile import LockFile
    from envctl.workflow.ask import Ask, Task


class _RunGroup(TyperGroup):
    """Takes what follows a bare `--` as a command to run inside the environment, and options wherever they stand."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        before = args[: args.index("--")] if "--" in args else args
        if "--" in args and not set(before) & set(self.commands):
            args = [*before, "exec", *args[len(before) :]]
        tasks = {name: options_of(command) for name, command in self.commands.items()}
        try:
            args = placed(args, options_of(self), tasks)
        except ValueError as error:
            ctx.fail(str(error))
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    subcommand_metavar="convert|infer|verify MODEL, or -- COMMAND",
)


@app.callback()
@grouped
def run(
    *,
    ctx: typer.Context,
    pinned: groups.Pinned,
    gpu: options.Gpu = None,
    pin: options.Pins = [],  # noqa: B006
    where: groups.Where,
    lock: Annotated[Path | None, typer.Option("--lock", metavar="FILE", help="Use this lock's environment.")] = None,
    target: Annotated[str, typer.Option("--target", metavar="NAME", help="The lock's target; not just any.")] = "",
    provider: Annotated[
        str,
        typer.Option("--provider", help="Another way to execute: tensorrt, cuda (--tf).", show_default=False),
    ] = "",
    refresh_lock: options.RefreshLock = False,
) -> None:
    """Convert, run and verify a model in a pinned environment. 8.6 means the newest 8.6.x that fits."""

    def ask(task: Task, **chosen: Any) -> Ask:
        from envctl.cli.pins import engine_and_pins
        from envctl.workflow.ask import Ask

        said = [*filter(None, pinned.values()), *pin, *(["--refresh-lock"] if refresh_lock else [])]
        said += [f"--provider {provider}"] if provider else []
        locked = _locked(lock, target, said)
        engine, pins = (locked.request.engine, ()) if locked else engine_and_pins(pinned, pin)
        environment = {"lock": locked, "refresh": refresh_lock, "gpu": gpu, "provider": provider, **where}
        return Ask(task=task, engine=engine, pins=pins, **environment, **chosen)

    ctx.obj = ask


def _locked(path: Path | None, target: str, said: list[str]) -> LockFile | None:
    """The lock file that was named, or of it that target alone; pins beside it would say the same twice."""
    if path is None:
        if target:
            raise BadInput(f"--target {target}: of which lock?", do=["--lock FILE --target NAME"])
        return None
    if said:
        do = ["leave the pins out, or --lock", "or lock them: envctl lock"]
        raise BadInput(f"--lock says all versions; {', '.join(said)} was given too", do=do)
    from envctl.lockfile import load

    found = load(path)
    return replace(found, targets=(found.target(target),)) if target else found


@app.command()
@grouped
def convert(
    *,
    ctx: typer.Context,
    model: options.Model,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the artifacts.")] = Path("envctl-out"),
    precision: options.Precision = None,
    input: options.Input = "seeded",
    how: groups.Inference,
    judged: groups.Judged,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Compare with the reference.")] = True,
    limits: groups.Limits,
    caps: groups.Caps,
    ci: Annotated[bool, typer.Option("--ci", envvar="CI", help="Read timing caches and change none.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files envctl did not make.")] = False,
    kept: groups.Kept,
    as_json: options.Json = False,
) -> None:
    """Convert MODEL, compare it with the reference, and write it with its sidecar when it passed."""
    given = locals() | how | judged | limits | caps | kept
    _finish(ctx.obj, "convert", given, {"output": output, "verify": verify, "force": force, "ci": ci})


@app.command()
@grouped
def infer(
    *,
    ctx: typer.Context,
    model: options.Model,
    input: options.Input = "seeded",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="FILE.npz for the outputs.")] = None,
    precision: options.Precision = None,
    how: groups.Inference,
    caps: groups.Caps,
    kept: groups.Kept,
    as_json: options.Json = False,
) -> None:
    """Run MODEL on inputs, and write the outputs with -o."""
    _finish(ctx.obj, "infer", locals() | how | caps | kept, {"output": output})


@app.command()
@grouped
def verify(
    *,
    ctx: typer.Context,
    model: options.Model,
    precision: options.Precision = None,
    input: options.Input = "seeded",
    how: groups.Inference,
    judged: groups.Judged,
    limits: groups.Limits,
    caps: groups.Caps,
    kept: groups.Kept,
    as_json: options.Json = False,
) -> None:
    """Convert MODEL and compare it with the reference; nothing is written."""
    _finish(ctx.obj, "verify", locals() | how | judged | limits | caps | kept, {})


@app.command("exec", hidden=True, context_settings={"ignore_unknown_options": True})
def execute(ctx: typer.Context, arguments: Annotated[list[str], typer.Argument()]) -> None:
    """What `envctl run [pins] -- COMMAND` becomes."""
    screen = Screen(as_json=False)
    with guarded(screen):
        from envctl.host import start_probes

        probes = start_probes()  # they run while the rest is being imported
        from envctl.workflow.target import command

        code = command(ctx.obj("command"), arguments, screen, probes)
    raise typer.Exit(code)


def _finish(make: Callable[..., Ask], task: Task, given: dict[str, Any], own: dict[str, Any]) -> None:
    """Do what was asked for: `given` is all that was said, `own` those options of it that only this task has."""
    screen = Screen(given["as_json"])
    with guarded(screen):
        from envctl.host import start_probes

        probes = start_probes()  # they run while the rest is being imported
        ask = read(make(task, **plain(given), **own), given)
        if given["plan"]:
            _show(ask, probes, screen)
            return
        from envctl.workflow.outcome import as_data
        from envctl.workflow.run import run as perform

        outcome = perform(ask, screen, probes)
        screen.quiet()
        if screen.as_json:
            screen.print_json(as_data(outcome))
        else:
            from envctl.cli.result import print_outcome

            print_outcome(outcome)
    raise typer.Exit(outcome.exit_code)


def _show(ask: Ask, probes: Probes, screen: Screen) -> None:
    from envctl.workflow.preview import as_data, preview

    found = preview(ask, probes)
    screen.quiet()
    if screen.as_json:
        screen.print_json(as_data(found))
        return
    from envctl.cli.plan import print_preview

    print_preview(found)
