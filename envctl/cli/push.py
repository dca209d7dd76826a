"""`envctl push oci:DIR|docker-archive:FILE REF`: an image in a file or folder, into a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import options
from envctl.cli.attached import attached_data, attached_lines, warn
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.oci.push import Pushed
    from envctl.workflow.attach import Attached

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def push(
    image: Annotated[str, typer.Argument(metavar="oci:DIR[@sha256:…]|docker-archive:FILE")],
    ref: Annotated[str, typer.Argument(metavar="REF", help="HOST[:PORT]/NAME[:TAG]")],
    insecure: Annotated[bool, typer.Option("--insecure", help="Plain HTTP, also to another machine.")] = False,
    as_json: options.Json = False,
) -> None:
    """Push an image to a registry; what is there already is not sent again, and a broken push goes on where it was.

    Credentials are Docker's (docker login). Without a default registry in envctl's configuration, REF names its host.
    """
    from envctl.oci.reference import parse
    from envctl.oci.source import push_from
    from envctl.workflow.attach import attach_beside, papers_beside

    screen = Screen(as_json)
    with guarded(screen):
        beside = papers_beside(image)
        done = push_from(image, parse(ref), screen.say, insecure=insecure)
        attached = attach_beside(beside, done, screen.say, insecure=insecure)
        print_pushed(screen, done, attached)


def print_pushed(screen: Screen, done: Pushed, attached: Attached | None = None) -> None:
    """Show what came of a push: the reference by digest on the first line, for scripts."""
    screen.quiet()
    if screen.as_json:
        screen.print_json(pushed_data(done) | (attached_data(attached) if attached else {}))
        return
    ways = ", ".join(f"{count} {way}" for way, count in sorted(done.blobs.items()))
    print(f"{done.ref}\n  blobs     {ways}; {done.sent_bytes / 1e6:.1f} MB sent")
    for label, text in attached_lines(attached) if attached else []:
        print(f"  {label:<9} {text}")
    warn(attached)


def pushed_data(done: Pushed) -> dict[str, Any]:
    """The same for `--json`."""
    return {"ref": str(done.ref), "digest": done.digest, "blobs": done.blobs, "sent_bytes": done.sent_bytes}
