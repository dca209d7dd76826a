"""`envctl run [pins] convert|infer|verify MODEL`, `envctl run [pins] -- COMMAND`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from envctl.cli import options
from envctl.cli.screen import Screen, guarded
from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.lockfile import LockFile
    from envctl.workflow.ask import Ask, Precision, Task


class _RunGroup(TyperGroup):
    """Takes what follows a bare `--` as a command to run inside the environment."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        before = args[: args.index("--")] if "--" in args else args
        if "--" in args and not set(before) & set(self.commands):
            args = [*before, "exec", *args[len(before) :]]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    subcommand_metavar="convert|infer|verify MODEL, or -- COMMAND",
)

Model = Annotated[Path, typer.Argument(help="An ONNX file.", show_default=False)]
PrecisionOption = Annotated[str | None, typer.Option("--precision", help="fp32 (default), fp16, bf16.")]
Shape = Annotated[list[str], typer.Option("--shape", metavar="NAME=1,3,224,224", help="Shape of one inference.")]
Seed = Annotated[int, typer.Option(help="Seed of the inputs.")]
Samples = Annotated[int, typer.Option(min=1, max=100_000, help="How many seeded samples.")]
Input = Annotated[str, typer.Option("--input", help="FILE.npz with an array for each input, or 'seeded'.")]
Memory = Annotated[str | None, typer.Option("--memory", help="Memory cap of a worker, e.g. 8g.")]
Timeout = Annotated[int, typer.Option("--timeout", min=1, help="Time cap of a worker in seconds.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads of the engine; 0: its own choice.")]
Atol = Annotated[float | None, typer.Option(min=0, help="Error limit in units of the output's scale.")]
Cosine = Annotated[float | None, typer.Option(min=-1, max=1, help="Least cosine of a sample.")]
Top1 = Annotated[float | None, typer.Option(min=0, max=1, help="Least top-1 agreement.")]
Reference = Annotated[Path | None, typer.Option("--reference", help="Compare with this model instead of MODEL.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the job folder.")]
Record = Annotated[bool, typer.Option("--record", help="Keep what was observed as evidence for later solves.")]


@app.callback()
@options.with_pins
def run(
    *,
    ctx: typer.Context,
    pinned: options.Pinned,
    gpu: options.Gpu = None,
    pin: options.Pins = [],  # noqa: B006
    runner: Annotated[str, typer.Option("--runner", help="auto, local or docker.")] = "auto",
    index: options.Index = [],  # noqa: B006
    offline: options.Offline = False,
    lock: Annotated[Path | None, typer.Option("--lock", metavar="FILE", help="Use this lock's environment.")] = None,
    target: Annotated[str, typer.Option("--target", metavar="NAME", help="The lock's target; not just any.")] = "",
    refresh_lock: Annotated[bool, typer.Option("--refresh-lock", help="Resolve packages anew.")] = False,
) -> None:
    """Convert, run and verify a model in a pinned environment. 8.6 means the newest 8.6.x that fits."""

    def ask(task: Task, **chosen: Any) -> Ask:
        from envctl.cli.pins import engine_and_pins
        from envctl.workflow.ask import Ask

        said = [*filter(None, pinned.values()), *pin, *(["--refresh-lock"] if refresh_lock else [])]
        locked = _locked(lock, target, said)
        engine, pins = (locked.request.engine, ()) if locked else engine_and_pins(pinned, pin)
        environment: dict[str, Any] = {
            "lock": locked,
            "runner": runner,
            "index": tuple(index),
            "offline": offline,
            "refresh": refresh_lock,
            "gpu": gpu,
        }
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
def convert(
    ctx: typer.Context,
    model: Model,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the artifacts.")] = Path("envctl-out"),
    precision: PrecisionOption = None,
    input: Input = "seeded",
    seed: Seed = 0,
    samples: Samples = 16,
    shape: Shape = [],  # noqa: B006
    reference: Reference = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Compare with the reference.")] = True,
    atol: Atol = None,
    cosine: Cosine = None,
    top1: Top1 = None,
    threads: Threads = 0,
    memory: Memory = None,
    timeout: Timeout = 1800,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files envctl did not make.")] = False,
    keep: Keep = False,
    record: Record = False,
    as_json: options.Json = False,
) -> None:
    """Convert MODEL, compare it with the reference, and write it with its sidecar when it passed."""
    shared = _options(locals())
    _finish(ctx.obj, "convert", shared | {"output": output, "verify": verify, "force": force}, as_json)


@app.command()
def infer(
    ctx: typer.Context,
    model: Model,
    input: Input = "seeded",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="FILE.npz for the outputs.")] = None,
    precision: PrecisionOption = None,
    seed: Seed = 0,
    samples: Samples = 16,
    shape: Shape = [],  # noqa: B006
    threads: Threads = 0,
    memory: Memory = None,
    timeout: Timeout = 1800,
    keep: Keep = False,
    record: Record = False,
    as_json: options.Json = False,
) -> None:
    """Run MODEL on inputs, and write the outputs with -o."""
    _finish(ctx.obj, "infer", _options(locals()) | {"output": output}, as_json)


@app.command()
def verify(
    ctx: typer.Context,
    model: Model,
    precision: PrecisionOption = None,
    input: Input = "seeded",
    seed: Seed = 0,
    samples: Samples = 16,
    shape: Shape = [],  # noqa: B006
    reference: Reference = None,
    atol: Atol = None,
    cosine: Cosine = None,
    top1: Top1 = None,
    threads: Threads = 0,
    memory: Memory = None,
    timeout: Timeout = 1800,
    keep: Keep = False,
    record: Record = False,
    as_json: options.Json = False,
) -> None:
    """Convert MODEL and compare it with the reference; nothing is written."""
    _finish(ctx.obj, "verify", _options(locals()), as_json)


@app.command("exec", hidden=True, context_settings={"ignore_unknown_options": True})
def execute(ctx: typer.Context, arguments: Annotated[list[str], typer.Argument()]) -> None:
    """What `envctl run [pins] -- COMMAND` becomes."""
    from envctl.workflow.run import command

    screen = Screen(as_json=False)
    with guarded(screen):
        code = command(ctx.obj("command"), arguments, screen)
    raise typer.Exit(code)


PLAIN = ("model", "seed", "samples", "atol", "cosine", "top1", "threads", "keep", "record")


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """The options that tasks share, in the form `Ask` has them; those with a grammar of their own are left raw."""
    return {name: given[name] for name in PLAIN if name in given} | {"raw": given}


def _finish(make: Callable[..., Ask], task: Task, chosen: dict[str, Any], as_json: bool) -> None:
    screen = Screen(as_json)
    with guarded(screen):
        from envctl.host import start_probes

        probes = start_probes()  # they run while the rest is being imported
        raw = chosen.pop("raw")
        ask = _read(make(task, **chosen), raw)
        from envctl.workflow.outcome import as_data
        from envctl.workflow.run import run as perform

        outcome = perform(ask, screen, probes)
        screen.quiet()
        if as_json:
            screen.print_json(as_data(outcome))
        else:
            from envctl.cli.result import print_outcome

            print_outcome(outcome)
    raise typer.Exit(outcome.exit_code)


def _read(ask: Ask, raw: dict[str, Any]) -> Ask:
    """The ask with the options that have a grammar of their own."""
    precision = raw["precision"]
    if precision not in (None, "fp32", "fp16", "bf16", "int8"):
        raise BadInput(f"--precision {precision!r} is unknown", do=["one of fp32, fp16, bf16"])
    return replace(
        ask,
        precision=cast("Precision | None", precision),
        input=None if raw["input"] == "seeded" else Path(raw["input"]),
        shapes=dict(_shape(text) for text in raw["shape"]),
        memory=_size(raw["memory"]) if raw["memory"] else None,
        seconds=raw["timeout"],
        reference_model=raw.get("reference"),
    )


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, found, sizes = text.rpartition("=")
    try:
        shape = tuple(int(size) for size in sizes.split(","))
    except ValueError:
        shape = ()
    if not (found and name and shape and min(shape) > 0):
        do = ["for example --shape image=1,3,224,224; without it the free sizes are 1"]
        raise BadInput(f"--shape {text!r} is not NAME=1,3,224,224 with positive sizes", do=do)
    return name, shape


def _size(text: str) -> int:
    """Bytes in `512m`, `8g`, `1t` or a plain number."""
    units = {"k": 10, "m": 20, "g": 30, "t": 40}
    digits, unit = (text[:-1], text[-1].lower()) if text[-1:].isalpha() else (text, "")
    if not digits.isdigit() or (unit and unit not in units) or int(digits) == 0:
        raise BadInput(f"--memory {text!r} is not a size", do=["for example --memory 8g"])
    return int(digits) << units.get(unit, 0)
