"""`envctl debug MODEL`: the first node where an engine and the reference part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import options
from envctl.cli import run as shared
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.workflow.ask import Ask

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Converted = Annotated[
    Path | None,
    typer.Option("--target-model", metavar="FILE", help="What the engine runs instead: a copy of MODEL that you made."),
]
Versions = Annotated[
    str | None,
    typer.Option("--versions", metavar="2024.6,…|none", help="Releases to try besides; default: those that are here."),
]
Layers = Annotated[bool, typer.Option("--layers", help="Also find the fewest layers to keep in float32.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="FILE.onnx for the model with these layers kept.")]
Page = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page: how the error grows.")]
RunnerName = Annotated[str, typer.Option("--runner", help="auto, local or docker.")]


@app.command()
@options.with_pins
def debug(
    model: shared.Model,
    *,
    pinned: options.Pinned,
    target_model: Converted = None,
    versions: Versions = None,
    layers: Layers = False,
    output: Output = None,
    html: Page = None,
    precision: shared.PrecisionOption = None,
    gpu: options.Gpu = None,
    pin: options.Pins = [],  # noqa: B006
    runner: RunnerName = "auto",
    index: options.Index = [],  # noqa: B006
    offline: options.Offline = False,
    input: shared.Input = "seeded",
    seed: shared.Seed = 0,
    samples: shared.Samples = 16,
    shape: shared.Shape = [],  # noqa: B006
    via: shared.Via = [],  # noqa: B006
    opset: shared.Opset = "",
    layout: shared.Layout = "",
    calibration: shared.Calibration = None,
    atol: shared.Atol = None,
    cosine: shared.Cosine = None,
    top1: shared.Top1 = None,
    threads: shared.Threads = 0,
    memory: shared.Memory = None,
    timeout: shared.Timeout = 1800,
    keep: shared.Keep = False,
    as_json: options.Json = False,
) -> None:
    """Find the first node where an engine and the reference part, and how the error grows from there."""
    given = locals()
    screen = Screen(as_json)
    with guarded(screen):
        from envctl.host import start_probes

        probes = start_probes()  # they run while the rest is being imported
        ask = _ask(given)
        from envctl.workflow import debug as workflow

        wish = workflow.Layers(output=output) if layers else None
        found = workflow.debug(ask, screen, probes, _versions(versions), wish)
        screen.quiet()
        from envctl.cli import debug_result

        if html:
            debug_result.write_page(found, html)
        if as_json:
            screen.print_json(debug_result.as_data(found))
        else:
            debug_result.show(found)
    raise typer.Exit(found.exit_code)


def _versions(text: str | None) -> tuple[str, ...] | None:
    """The releases that were named; none for "none", None where nothing was said."""
    return None if text is None else tuple(word for word in text.split(",") if word and word != "none")


def _ask(given: dict[str, Any]) -> Ask:
    """What was asked, as a verification of the target's model against MODEL."""
    from envctl.cli.pins import engine_and_pins
    from envctl.workflow.ask import Ask

    engine, pins = engine_and_pins(given["pinned"], given["pin"])
    plain = ("seed", "samples", "atol", "cosine", "top1", "threads", "keep", "calibration")
    other = given["target_model"]
    ask = Ask(
        task="verify", engine=engine, pins=pins, runner=given["runner"], gpu=given["gpu"],
        index=tuple(given["index"]), offline=given["offline"], model=other or given["model"],
        **{name: given[name] for name in plain},
    )  # fmt: skip
    ask = shared.read(ask, given | {"reference": given["model"] if other else None})
    return replace(ask, keep=given["keep"])
