"""`envctl run [pins] convert|infer|verify MODEL`, `envctl run [pins] -- COMMAND`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from envctl.cli import options
from envctl.cli.grammar import shape, size
from envctl.cli.screen import Screen, guarded
from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.host import Probes
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

Model = Annotated[Path, typer.Argument(help="A model file or SavedModel folder.", show_default=False)]
PrecisionOption = Annotated[str | None, typer.Option("--precision", help="fp32 (default), fp16, bf16, int8.")]
SHAPE = "NAME=1x3x224x224"
Shape = Annotated[list[str], typer.Option("--shape", metavar=SHAPE, help="Shape of one inference, or MIN:OPT:MAX.")]
Calibration = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        "--calibrate",
        metavar="PLACE",
        help="Samples for int8: FILE.npz, a folder of such or of images, MODULE.py:FUNCTION, or seeded.",
    ),
]
Preprocess = Annotated[
    str, typer.Option(metavar="FILE.toml|NAME=VALUE…", help="What images go through: scale, mean, std, size, order …")
]
Dataset = Annotated[
    str | None, typer.Option("--dataset", metavar="PLACE", help="Labelled samples: .npz with x and y, class folders.")
]
Metric = Annotated[
    str, typer.Option("--metric", metavar="METRIC", help="top1, miou, cosine, or MODULE.py:FUNCTION, on --dataset.")
]
Ci = Annotated[bool, typer.Option("--ci", envvar="CI", help="Read timing caches and change none.")]
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
Fallback = Annotated[bool, typer.Option("--allow-fallback", help="Let nodes that the GPU cannot run go to the CPU.")]
RunnerOption = Annotated[str, typer.Option("--runner", help="auto, local or docker.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the job folder.")]
Via = Annotated[
    list[str],
    typer.Option("--via", metavar="FORMAT|NAME=SPEC", help="Format to pass (onnx, tflite), or a pin of its framework."),
]
Opset = Annotated[str, typer.Option("--opset", metavar="N", help="Write this ONNX opset.", show_default=False)]
Layout = Annotated[str, typer.Option("--layout", metavar="nchw", help="Channels first, if NHWC.", show_default=False)]
Planned = Annotated[bool, typer.Option("--plan", help="Show what would be done, and do nothing.")]
Record = Annotated[bool, typer.Option("--record", help="Keep what was observed as evidence for later solves.")]


@app.callback()
@options.with_pins
def run(
    *,
    ctx: typer.Context,
    pinned: options.Pinned,
    gpu: options.Gpu = None,
    pin: options.Pins = [],  # noqa: B006
    runner: RunnerOption = "auto",
    index: options.Index = [],  # noqa: B006
    offline: options.Offline = False,
    lock: Annotated[Path | None, typer.Option("--lock", metavar="FILE", help="Use this lock's environment.")] = None,
    target: Annotated[str, typer.Option("--target", metavar="NAME", help="The lock's target; not just any.")] = "",
    provider: Annotated[
        str,
        typer.Option("--provider", help="Another way to execute: tensorrt, cuda (--tf).", show_default=False),
    ] = "",
    refresh_lock: Annotated[bool, typer.Option("--refresh-lock", help="Resolve packages anew.")] = False,
) -> None:
    """Convert, run and verify a model in a pinned environment. 8.6 means the newest 8.6.x that fits."""

    def ask(task: Task, **chosen: Any) -> Ask:
        from envctl.cli.pins import engine_and_pins
        from envctl.workflow.ask import Ask

        said = [*filter(None, pinned.values()), *pin, *(["--refresh-lock"] if refresh_lock else [])]
        said += [f"--provider {provider}"] if provider else []
        locked = _locked(lock, target, said)
        engine, pins = (locked.request.engine, ()) if locked else engine_and_pins(pinned, pin)
        environment: dict[str, Any] = {
            "lock": locked,
            "runner": runner,
            "index": tuple(index),
            "offline": offline,
            "refresh": refresh_lock,
            "gpu": gpu,
            "provider": provider,
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
    via: Via = [],  # noqa: B006
    opset: Opset = "",
    layout: Layout = "",
    allow_fallback: Fallback = False,
    calibration: Calibration = None,
    preprocess: Preprocess = "",
    dataset: Dataset = None,
    metric: Metric = "",
    reference: Reference = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Compare with the reference.")] = True,
    atol: Atol = None,
    cosine: Cosine = None,
    top1: Top1 = None,
    threads: Threads = 0,
    memory: Memory = None,
    timeout: Timeout = 1800,
    ci: Ci = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files envctl did not make.")] = False,
    keep: Keep = False,
    record: Record = False,
    plan: Planned = False,
    as_json: options.Json = False,
) -> None:
    """Convert MODEL, compare it with the reference, and write it with its sidecar when it passed."""
    shared = _options(locals())
    _finish(ctx.obj, "convert", shared | {"output": output, "verify": verify, "force": force, "ci": ci}, as_json)


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
    via: Via = [],  # noqa: B006
    opset: Opset = "",
    layout: Layout = "",
    allow_fallback: Fallback = False,
    calibration: Calibration = None,
    preprocess: Preprocess = "",
    threads: Threads = 0,
    memory: Memory = None,
    timeout: Timeout = 1800,
    keep: Keep = False,
    record: Record = False,
    plan: Planned = False,
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
    via: Via = [],  # noqa: B006
    opset: Opset = "",
    layout: Layout = "",
    allow_fallback: Fallback = False,
    calibration: Calibration = None,
    preprocess: Preprocess = "",
    dataset: Dataset = None,
    metric: Metric = "",
    reference: Reference = None,
    atol: Atol = None,
    cosine: Cosine = None,
    top1: Top1 = None,
    threads: Threads = 0,
    memory: Memory = None,
    timeout: Timeout = 1800,
    keep: Keep = False,
    record: Record = False,
    plan: Planned = False,
    as_json: options.Json = False,
) -> None:
    """Convert MODEL and compare it with the reference; nothing is written."""
    _finish(ctx.obj, "verify", _options(locals()), as_json)


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


PLAIN = (
    "model", "seed", "samples", "atol", "cosine", "top1", "threads", "keep", "record", "calibration", "preprocess",
    "dataset", "metric", "allow_fallback",
)  # fmt: skip


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """The options that tasks share, in the form `Ask` has them; those with a grammar of their own are left raw."""
    return {name: given[name] for name in PLAIN if name in given} | {"raw": given}


def _finish(make: Callable[..., Ask], task: Task, chosen: dict[str, Any], as_json: bool) -> None:
    screen = Screen(as_json)
    with guarded(screen):
        from envctl.host import start_probes

        probes = start_probes()  # they run while the rest is being imported
        raw = chosen.pop("raw")
        ask = read(make(task, **chosen), raw)
        if raw["plan"]:
            _show(ask, probes, screen)
            return
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


def _show(ask: Ask, probes: Probes, screen: Screen) -> None:
    from envctl.workflow.preview import as_data, preview

    found = preview(ask, probes)
    screen.quiet()
    if screen.as_json:
        screen.print_json(as_data(found))
        return
    from envctl.cli.plan import print_preview

    print_preview(found)


def read(ask: Ask, raw: dict[str, Any]) -> Ask:
    """The ask with those options that have a grammar of their own."""
    precision = raw["precision"]
    if precision not in (None, "fp32", "fp16", "bf16", "int8"):
        raise BadInput(f"--precision {precision!r} is unknown", do=["one of fp32, fp16, bf16, int8"])
    shapes = [shape(text) for text in raw["shape"]]
    return replace(
        _routed(ask, raw),
        precision=cast("Precision | None", precision),
        input=None if raw["input"] == "seeded" else Path(raw["input"]),
        shapes={name: three[1] for name, three in shapes},
        ranges={name: three for name, three in shapes if three[0] != three[2]},
        memory=size(raw["memory"]) if raw["memory"] else None,
        seconds=raw["timeout"],
        reference_model=raw.get("reference"),
    )


def _routed(ask: Ask, raw: dict[str, Any]) -> Ask:
    """The ask with what was said of the way to the engine."""
    from envctl.cli.pins import read_pins
    from envctl.routes import routes

    formats = {route.to for route in routes()}
    through = [text for text in raw["via"] if text in formats]
    pins = read_pins({}, [text for text in raw["via"] if text not in formats], "--via")
    if len(through) > 1 or raw["layout"] not in ("", "nchw") or not raw["opset"].isascii():
        raise BadInput("a model passes one format, in layout nchw or its own", do=["--via onnx --layout nchw"])
    if raw["opset"] and not raw["opset"].isdigit():
        raise BadInput(f"--opset {raw['opset']!r} is not a number", do=["for example --opset 17"])
    return replace(ask, via=pins, through="".join(through), opset=raw["opset"], layout=raw["layout"])
