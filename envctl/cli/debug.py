"""`envctl debug MODEL`: the first node where an engine and the reference part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import groups, options
from envctl.cli.asked import plain, read
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


@app.command()
@groups.grouped
def debug(
    *,
    model: options.Model,
    pinned: groups.Pinned,
    target_model: Converted = None,
    versions: Versions = None,
    layers: Layers = False,
    output: Output = None,
    html: Page = None,
    precision: options.Precision = None,
    gpu: options.Gpu = None,
    pin: options.Pins = [],  # noqa: B006
    where: groups.Where,
    input: options.Input = "seeded",
    how: groups.Inference,
    limits: groups.Limits,
    caps: groups.Caps,
    keep: options.Keep = False,
    as_json: options.Json = False,
) -> None:
    """Find the first node where an engine and the reference part, and how the error grows from there."""
    given = locals() | how | limits | caps
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
    other = given["target_model"]
    chosen = plain(given) | {"model": other or given["model"]}
    ask = Ask(task="verify", engine=engine, pins=pins, gpu=given["gpu"], **given["where"], **chosen)
    return read(ask, given | {"reference": given["model"] if other else None})
