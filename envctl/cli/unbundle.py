"""`envctl unbundle DIR`: a bundle into the cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.workflow.unbundle import Unbundled

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that envctl bundle wrote.")]
Cache = Annotated[Path | None, typer.Option("--cache", metavar="DIR", help="Another cache than ENVCTL_CACHE.")]
Load = Annotated[bool, typer.Option("--load", help="Give bases and images to the local Docker too.")]


@app.command()
def unbundle(folder: Folder, cache: Cache = None, load: Load = False, as_json: options.Json = False) -> None:
    """Fill the cache from a bundle, every file checked; afterwards `envctl run --offline` needs no network."""
    screen = Screen(as_json)
    with guarded(screen):
        if cache:
            os.environ["ENVCTL_CACHE"] = str(cache)
        from envctl.tree import cache_root
        from envctl.workflow import unbundle as work

        done = work.unbundle(folder, load, screen.say)
        screen.quiet()
        if as_json:
            screen.print_json({"status": "unbundled", "cache": str(cache_root()), **_data(done)})
            return
        print(f"{cache_root()}: {done.new} new, {done.there} were there (bundle {done.manifest.digest[:12]})")
        for name in done.replaced:
            print(f"  replaced  locks/{name}: the same question had another answer here")
        for name in done.loaded:
            print(f"  in Docker {name}")
        variable = f"ENVCTL_CACHE={cache} " if cache else ""
        for path in done.locks:
            print(f"  {variable}envctl run --offline --lock {path} …")


def _data(done: Unbundled) -> dict[str, Any]:
    return {
        "bundle": done.manifest.digest,
        "new": done.new,
        "there": done.there,
        "locks": [str(path) for path in done.locks],
        "replaced": done.replaced,
        "loaded": done.loaded,
    }
