"""`envctl cache ls | prune | verify`."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded
from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.workflow.cache import Entry

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Kind = Annotated[str, typer.Option("--kind", help="Only this kind, for example environments.")]
Age = Annotated[str, typer.Option("--older-than", metavar="30d", help="Not used for so long: 12h, 30d, 8w.")]
Keep = Annotated[
    int, typer.Option("--keep", min=0, help="Keep so many of each kind, the last used, whatever their age.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")]
Every = Annotated[bool, typer.Option("--entries", help="List every entry and the kept locks that use it.")]
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
FOUND = 1


@app.command("ls")
def list_(kind: Kind = "", every: Every = False, as_json: options.Json = False) -> None:
    """Show what lies in the cache: entries, bytes and last use of each kind."""
    from envctl.tree import cache_root
    from envctl.workflow.cache import entries

    screen = Screen(as_json)
    with guarded(screen):
        screen.say("looking through the cache")
        found = entries(kind)
        screen.quiet()
        if as_json:
            total = sum(entry.size for entry in found)
            screen.print_json({"cache": str(cache_root()), "size": total, "entries": [_data(each) for each in found]})
            return
        print(f"{cache_root()}  {_size(sum(entry.size for entry in found))}")
        for name in dict.fromkeys(entry.kind for entry in found):
            _print_kind(name, [entry for entry in found if entry.kind == name], every)


@app.command()
def prune(
    older_than: Age = "30d", keep: Keep = 0, kind: Kind = "", dry_run: DryRun = False, as_json: options.Json = False
) -> None:
    """Remove what nobody used for a while, and what was never finished; all of it is made again when it is needed."""
    from envctl.workflow import cache

    screen = Screen(as_json)
    with guarded(screen):
        removed, busy = cache.prune(_seconds(older_than), keep, kind, dry_run=dry_run, say=screen.say)
        screen.quiet()
        if as_json:
            told = {"removed": [_data(each) for each in removed], "busy": [_data(each) for each in busy]}
            screen.print_json({"status": "would-remove" if dry_run else "removed", **told})
            return
        for entry in removed:
            print(f"{'would remove' if dry_run else 'removed'} {entry.kind}/{entry.name} ({_size(entry.size)})")
        for entry in busy:
            print(f"left {entry.kind}/{entry.name}: somebody is making it")
        print(f"{len(removed)} entries, {_size(sum(entry.size for entry in removed))}")


@app.command()
def verify(kind: Kind = "", as_json: options.Json = False) -> None:
    """Check everything by its hashes, and remove what is corrupt: it is made again (exit code 1: something was)."""
    from envctl.workflow import cache

    screen = Screen(as_json)
    with guarded(screen):
        corrupt, checked, unchecked = cache.verify(kind, say=screen.say)
        screen.quiet()
        if as_json:
            told = [_data(entry) | {"why": why} for entry, why in corrupt]
            screen.print_json({"corrupt": told, "checked": checked, "unchecked": unchecked})
        else:
            for entry, why in corrupt:
                print(f"removed {entry.kind}/{entry.name}: {why}")
            print(f"{checked} checked, {len(corrupt)} corrupt; {unchecked} have nothing to be checked by")
    raise typer.Exit(FOUND if corrupt else 0)


def _print_kind(name: str, found: list[Entry], every: bool) -> None:
    partial = sum(entry.partial for entry in found)
    note, size = f", {partial} never finished" if partial else "", _size(sum(entry.size for entry in found))
    print(f"  {name:<20} {len(found):>6} entries {size:>10}  last used {_ago(found[0])}{note}")
    for entry in found if every else []:
        users = f"  used by locks {', '.join(user[:12] for user in entry.users)}" if entry.users else ""
        print(f"    {entry.name[:52]:<52} {_size(entry.size):>10}  {_ago(entry)}{users}")


def _data(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "path": str(entry.path),
        "size": entry.size,
        "used": round(entry.used, 3),
        "users": list(entry.users),
        "partial": entry.partial,
    }


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _ago(entry: Entry) -> str:
    seconds = max(0.0, time.time() - entry.used)
    unit = next((unit for unit in "wdhm" if seconds >= 2 * SECONDS[unit]), "s")
    return f"{seconds / SECONDS[unit]:.0f} {unit} ago"


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)([smhdw])", text)
    if not found:
        raise BadInput(f"--older-than {text!r} is not a time", do=["for example 12h, 30d, 8w; 0s is everything"])
    return float(found[1]) * SECONDS[found[2]]
