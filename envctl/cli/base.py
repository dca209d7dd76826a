"""`envctl base NAME | ls | mirror`: bases made of Debian packages, those there are, and copies in registries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from envctl.cli import options
from envctl.cli.screen import Screen, guarded

if TYPE_CHECKING:
    from envctl.image import MadeBase

MAKE = "make"


class _Group(TyperGroup):
    """Takes a name that is no subcommand as a base to make."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = [MAKE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    cls=_Group,
    no_args_is_help=True,
    help="Make base images from Debian packages, list them, copy them to a registry.  envctl base debian:bookworm",
)


@app.command(MAKE)
def make(
    name: Annotated[str, typer.Argument(help="debian:bookworm, debian:trixie or debian:bullseye")],
    _python: Annotated[bool, typer.Option("--python", help="With the release's CPython; all of them have it.")] = True,
    mirror: Annotated[
        list[str],
        typer.Option("--mirror", metavar="URL|'deb URL SUITE main'", help="Debian's packages from here."),
    ] = [],  # noqa: B006
    as_json: options.Json = False,
) -> None:
    """Make a base with mmdebstrap and keep it (`make` may be left out); Docker gets it too where a daemon answers.

    The same packages give the same digest on every machine, as root or not. No registry is asked.
    """
    from envctl.image import base_named
    from envctl.image import make as make_base

    screen = Screen(as_json)
    with guarded(screen):
        made = make_base(base_named(name), mirror, screen.say)
        screen.quiet()
        screen.print_json(_data(made)) if as_json else print("\n".join(_lines(made)))


def _lines(made: MadeBase) -> list[str]:
    image = made.image
    docker = [f"  docker    {made.base.tag} {made.docker_id}"] if made.docker_id else []
    return [
        f"{made.base.name} {image.digest}",
        f"  layer     {image.layers[0].diff_id}",
        f"  python    {image.python}",
        f"  packages  {len(image.packages)}",
        *docker,
    ]


def _data(made: MadeBase) -> dict[str, Any]:
    from dataclasses import asdict

    image = made.image
    return {
        "base": made.base.name,
        "digest": image.digest,
        "diff_ids": [layer.diff_id for layer in image.layers],
        "python": image.python,
        "interpreter": image.interpreter,
        "packages": [asdict(package) for package in image.packages],
        "tag": made.base.tag,
        "id": made.docker_id or None,
    }


@app.command("ls")
def ls(as_json: options.Json = False) -> None:
    """List the bases in the store: digest, name, CPython, size; * marks the newest that was made under a name."""
    from envctl.oci.bases import newest, stored_base, stored_bases

    screen = Screen(as_json)
    with guarded(screen):
        rows: list[dict[str, Any]] = []
        for digest, name in stored_bases():
            base = stored_base(digest, name)
            if base:
                found = {"digest": digest, "name": name, "python": base.python, "packages": len(base.packages)}
                size = sum(layer.blob.size for layer in base.layers)
                rows.append({**found, "bytes": size, "newest": newest(name) == digest})
        if as_json:
            screen.print_json({"bases": rows})
            return
        for row in rows:
            mark = "*" if row["newest"] else " "
            print(f"{row['digest']} {mark} {row['name']}  python {row['python'] or '-'}  {row['bytes'] / 1e6:.1f} MB")
        if not rows:
            print("no bases yet: envctl base debian:bookworm")


@app.command("mirror")
def mirror(
    source: Annotated[str, typer.Argument(metavar="REF|NAME|sha256:…|oci:DIR", help="The base to copy.")],
    target: Annotated[str, typer.Argument(metavar="TARGET_REF", help="HOST/NAME[:TAG] in your registry.")],
    insecure: options.Insecure = False,
    as_json: options.Json = False,
) -> None:
    """Copy a base to your registry, byte for byte: the digest stays, so locks that name it accept the copy."""
    from envctl.cli.push import print_pushed
    from envctl.image import base_names
    from envctl.oci.base_sources import mirror as copy
    from envctl.oci.reference import parse

    screen = Screen(as_json)
    with guarded(screen):
        print_pushed(screen, copy(source, base_names(), parse(target), screen.say, insecure=insecure))
