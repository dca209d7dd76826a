"""`envctl cdi`: write how containers are given this machine's NVIDIA GPUs, where NVIDIA's toolkit is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded

app = typer.Typer(add_completion=False, rich_markup_mode=None)
To = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it there, as root: /etc/cdi/…")]


@app.command()
def cdi(output: To = None, as_json: options.Json = False) -> None:
    """Print, or write, a CDI specification of this machine's NVIDIA GPUs: computing only, no graphics, no MIG."""
    from envctl.tree import canonical_json, write_whole
    from envctl.workflow.cdi import machine_specification

    screen = Screen(as_json)
    with guarded(screen):
        found = machine_specification()
        if output is None:
            print(canonical_json(found), end="")
            return
        write_whole(output, canonical_json(found))
        names = [device["name"] for device in found["devices"]]
        told = {"status": "ok", "wrote": str(output), "devices": names}
        screen.print_json(told) if as_json else print(f"wrote {output}: nvidia.com/gpu={', '.join(names)}")
