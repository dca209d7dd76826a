"""`envctl base`: make a base image for the docker runner."""

from __future__ import annotations

from typing import Annotated

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def base(
    name: Annotated[str, typer.Argument(help="debian:bookworm, debian:trixie or debian:bullseye")],
    as_json: options.Json = False,
) -> None:
    """Make a base image from Debian packages (mmdebstrap) and import it into Docker; no registry is asked."""
    from envctl.image import base_named, make_base

    screen = Screen(as_json)
    with guarded(screen):
        wanted = base_named(name)
        identifier = make_base(wanted, screen.say)
        if as_json:
            screen.print_json({"base": wanted.name, "tag": wanted.tag, "id": identifier})
        else:
            print(f"{wanted.tag} {identifier}")
