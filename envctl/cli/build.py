"""`envctl build [LOCK | pins]`: an image of an environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import again, groups, options
from envctl.cli.attached import attached_data, attached_lines, warn
from envctl.cli.licences import print_licences
from envctl.cli.push import pushed_data
from envctl.cli.screen import Screen, guarded
from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.lock import Lock
    from envctl.workflow.build import Built, Order
    from envctl.workflow.read_locked import Locked

app = typer.Typer(rich_markup_mode=None, add_completion=False)

DEFAULT = Path("envctl.lock")
LockFile = Annotated[
    Path | None,
    typer.Argument(metavar="[LOCK]", help="A lock (default: ./envctl.lock where it is); or give pins instead."),
]
Target = Annotated[str, typer.Option("--target", help="Which target of the lock file.", show_default=False)]
Tag = Annotated[list[str], typer.Option("--tag", metavar="NAME:TAG", help="Name of the image; may be repeated.")]
Output = Annotated[
    list[str], typer.Option("-o", "--output", metavar="KIND:PATH", help="oci:DIR or docker-archive:FILE; repeatable.")
]
Load = Annotated[bool, typer.Option("--load", help="Load it into Docker, with only the layers it lacks.")]
Emit = Annotated[
    str | None,
    typer.Option("--emit", metavar="dockerfile", help="Print a plain Dockerfile, or write its folder (-o DIR)."),
]
Push = Annotated[
    str, typer.Option("--push", metavar="REF", help="Push it to HOST[:PORT]/NAME[:TAG]; what is there is not sent.")
]
BaseName = Annotated[
    str,
    typer.Option(
        "--base",
        help="Build upon: a base made here (debian:bookworm), sha256:DIGEST of the store, oci:DIR, REF@sha256:DIGEST "
        "of a registry, or docker-daemon:NAME. A lock's own base must be the same.",
        show_default=False,
    ),
]
Sbom = Annotated[Path | None, typer.Option("--sbom", metavar="FILE", help="Write the bill of materials to a file.")]
Licences = Annotated[bool, typer.Option("--licences", help="Only list what is in the image, with its licences.")]
Papers = Annotated[bool, typer.Option("--papers/--no-papers", help="SBOM and provenance with -o oci: and --push.")]
Revision = Annotated[str, typer.Option("--revision", help="Source revision for a label.", show_default=False)]


@app.command()
@groups.grouped
def build(
    *,
    lock: LockFile = None,
    target: Target = "",
    pinned: groups.Pinned,
    gpu: options.Gpu = None,
    pin: options.Pins = [],  # noqa: B006
    tag: Tag = [],  # noqa: B006
    output: Output = [],  # noqa: B006
    load: Load = False,
    push: Push = "",
    sbom: Sbom = None,
    papers: Papers = True,
    licences: Licences = False,
    emit: Emit = None,
    base: BaseName = "",
    wheels: options.Wheels = [],  # noqa: B006
    revision: Revision = "",
    insecure: options.Insecure = False,
    index: options.Index = [],  # noqa: B006
    offline: options.Offline = False,
    refresh_lock: options.RefreshLock = False,
    as_json: options.Json = False,
) -> None:
    """Make the image of a lock: the same bits everywhere. Without -o, --load, --push only its digest is computed."""
    screen = Screen(as_json)
    with guarded(screen):
        shared = {"index": tuple(index), "offline": offline}
        asked = {"refresh": refresh_lock, "gpu": gpu, **shared}
        path = _file(lock, pinned, pin)
        found = _lock(path, (target, base), pinned, pin, asked, screen)
        from envctl.workflow.build import Order

        made = {"names": tuple(tag), "load": load, "push": push, "insecure": insecure, "folders": tuple(wheels)}
        order = Order(base=base, locked=found.base, revision=revision, **made, **shared)  # type: ignore[arg-type]
        if emit:
            _emit(emit, found.lock, order, output, screen)
        elif licences:
            if output or load or push or sbom:
                raise BadInput("--licences only lists what is in an image", do=["leave -o, --load, --push, --sbom out"])
            print_licences(found.lock, order, screen)
        else:
            built = _build(found.lock, order, output, screen, with_papers=papers, sbom=sbom)
            if load and path and not (output or push or sbom):
                _remember(built, order, path, as_json)


def _file(path: Path | None, engines: dict[str, str | None], pins: list[str]) -> Path | None:
    """The file with the lock; None where pins are given."""
    pinned = pins or [option for option, value in engines.items() if value is not None]
    if path is None and not pinned and DEFAULT.is_file():
        path = DEFAULT
    if bool(path) == bool(pinned):
        what = "both a lock and pins were given" if path else "nothing was asked for"
        raise BadInput(what, do=["envctl build LOCK, or pins, for example --openvino 2026.4"])
    return path


def _lock(
    path: Path | None,
    chosen: tuple[str, str],
    engines: dict[str, str | None],
    pins: list[str],
    asked: dict[str, Any],
    screen: Screen,
) -> Locked:
    """What the file holds (of its target, for a base: `chosen`), or what the pins resolve to."""
    from envctl.workflow.read_locked import Locked, read_for_image

    if path:
        return read_for_image(path, *chosen)
    if chosen[0]:
        raise BadInput("--target chooses in a lock file, and pins were given", do=["give LOCK, or leave --target out"])
    from envctl.cli.pins import engine_and_pins
    from envctl.workflow import build
    from envctl.workflow.ask import Ask

    engine, found = engine_and_pins(engines, pins)
    return Locked(lock=build.resolved(Ask(task="command", engine=engine, pins=found, **asked), screen))


def _build(
    lock: Lock, order: Order, outputs: list[str], screen: Screen, *, with_papers: bool, sbom: Path | None
) -> Built:
    from dataclasses import replace

    from envctl.workflow import build

    built = build.build(lock, replace(order, outputs=tuple(outputs)), screen)
    attached = None
    if built.wrote or built.pushed or sbom:
        from envctl.workflow import attach

        attached = attach.attach(built, order, sbom, screen, beside=with_papers)
    screen.quiet()
    if screen.as_json:
        screen.print_json(_data(built) | attached_data(attached))
        return built
    *lines, time = _lines(built)
    for label, text in [*lines, *attached_lines(attached), time]:
        print(again.line(label, text))
    warn(attached)
    return built


def _remember(built: Built, order: Order, lock: Path, as_json: bool) -> None:
    """Keep what is said of an image that was loaded, as it will be said when the command is given once more."""
    from dataclasses import replace

    next_time = replace(built, sent=0)
    data = _data(next_time) | attached_data(None)
    lines = [again.line(*each) for each in _lines(next_time)[:-1]]
    again.remember(sys.argv[1:], lock, order, built, {"data": data} if as_json else {"lines": lines})


def _lines(built: Built) -> list[tuple[str, str]]:
    lines = [("image", built.image.config_descriptor.digest), ("manifest", built.image.digest)]
    lines += [("lock", built.lock.digest), ("base", f"{built.base.digest} (CPython {built.base.python})")]
    lines += [("layer", f"{diff_id[7:19]} {title}") for diff_id, title in built.layers]
    lines += [("wrote", path) for path in built.wrote]
    if built.sent is not None:
        lines += [("loaded", f"{', '.join(built.names)} ({built.sent} of {len(built.image.layers)} layers sent)")]
    if built.pushed:
        ways = ", ".join(f"{count} {way}" for way, count in sorted(built.pushed.blobs.items()))
        lines += [("pushed", f"{built.pushed.ref} (blobs: {ways}; {built.pushed.sent_bytes / 1e6:.1f} MB sent)")]
    return [*lines, ("time", f"{built.seconds:.2f} s")]


def _data(built: Built) -> dict[str, Any]:
    return {
        "status": "ok",
        "image": built.image.config_descriptor.digest,
        "manifest": built.image.digest,
        "lock": built.lock.digest,
        "base": {"digest": built.base.digest, "python": built.base.python},
        "layers": [{"diff_id": diff_id, "holds": title} for diff_id, title in built.layers],
        "names": list(built.names),
        "wrote": built.wrote,
        "loaded": None if built.sent is None else {"id": built.identifier, "layers_sent": built.sent},
        "pushed": pushed_data(built.pushed) if built.pushed else None,
        "seconds": round(built.seconds, 3),
    }


def _emit(kind: str, lock: Lock, order: Order, outputs: list[str], screen: Screen) -> None:
    if kind != "dockerfile" or len(outputs) > 1 or order.load:
        raise BadInput(f"--emit {kind} with these options makes no sense", do=["--emit dockerfile [-o DIR]"])
    from envctl.workflow.emit import emit

    text = emit(lock, order, Path(outputs[0]) if outputs else None, screen)
    screen.quiet()
    if screen.as_json:
        screen.print_json({"status": "ok", "dockerfile": text, "wrote": outputs})
    elif outputs:
        print(f"  wrote     {outputs[0]}")
    else:
        print(text, end="")
