"""`envctl build [LOCK | pins]`: an image of an environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded
from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.lock import Lock
    from envctl.workflow.build import Built, Order

app = typer.Typer(rich_markup_mode=None, add_completion=False)

LockFile = Annotated[Path | None, typer.Argument(metavar="[LOCK]", help="A lock; or give pins instead.")]
Tag = Annotated[list[str], typer.Option("--tag", metavar="NAME:TAG", help="Name of the image; may be repeated.")]
Output = Annotated[
    list[str], typer.Option("-o", "--output", metavar="KIND:PATH", help="oci:DIR or docker-archive:FILE; repeatable.")
]
Load = Annotated[bool, typer.Option("--load", help="Load it into Docker, with only the layers it lacks.")]
Emit = Annotated[
    str | None,
    typer.Option("--emit", metavar="dockerfile", help="Print a plain Dockerfile, or write its folder (-o DIR)."),
]
BaseName = Annotated[str, typer.Option("--base", help="Image of the local Docker to build upon.", show_default=False)]
Wheels = Annotated[list[Path], typer.Option("--wheels", metavar="DIR", help="Folder with wheels; may be repeated.")]
Revision = Annotated[str, typer.Option("--revision", help="Source revision for a label.", show_default=False)]


@app.command()
def build(
    lock: LockFile = None,
    trt: options.Trt = None,
    trt_rtx: options.TrtRtx = None,
    tf: options.Tf = None,
    ort: options.Ort = None,
    openvino: options.OpenVino = None,
    ncnn: options.Ncnn = None,
    litert: options.LiteRt = None,
    mxnet: options.Mxnet = None,
    cuda: options.Cuda = None,
    cudnn: options.Cudnn = None,
    python: options.Python = None,
    gpu: options.Gpu = None,
    pin: options.Pins = [],  # noqa: B006
    tag: Tag = [],  # noqa: B006
    output: Output = [],  # noqa: B006
    load: Load = False,
    emit: Emit = None,
    base: BaseName = "",
    wheels: Wheels = [],  # noqa: B006
    revision: Revision = "",
    index: Annotated[list[str], typer.Option("--index", metavar="ALIAS=URL", help="Address of an index.")] = [],  # noqa: B006
    offline: Annotated[bool, typer.Option("--offline", help="Never touch the network.")] = False,
    refresh_lock: Annotated[bool, typer.Option("--refresh-lock", help="Resolve packages anew.")] = False,
    as_json: options.Json = False,
) -> None:
    """Make the image of a lock: the same bits everywhere. Without -o and --load only its digest is computed."""
    engines = {
        "--trt": trt, "--trt-rtx": trt_rtx, "--tf": tf, "--ort": ort, "--openvino": openvino, "--ncnn": ncnn,
        "--litert": litert, "--mxnet": mxnet, "--cuda": cuda, "--cudnn": cudnn, "--python": python,
    }  # fmt: skip
    screen = Screen(as_json)
    with guarded(screen):
        shared = {"index": tuple(index), "offline": offline}
        asked = {"refresh": refresh_lock, "gpu": gpu, **shared}
        found = _lock(lock, engines, pin, asked, screen)
        from envctl.workflow.build import Order

        folders = tuple(wheels)
        order = Order(names=tuple(tag), load=load, base=base, revision=revision, folders=folders, **shared)  # type: ignore[arg-type]
        if emit:
            _emit(emit, found, order, output, screen)
        else:
            _build(found, order, output, screen)


def _lock(
    path: Path | None, engines: dict[str, str | None], pins: list[str], asked: dict[str, Any], screen: Screen
) -> Lock:
    """The lock of the file, or of the pins; exactly one of both."""
    pinned = pins or [option for option, value in engines.items() if value is not None]
    if bool(path) == bool(pinned):
        what = "both a lock and pins were given" if path else "nothing was asked for"
        raise BadInput(what, do=["envctl build LOCK, or pins, for example --openvino 2026.4"])
    from envctl.workflow import build

    if path:
        return build.read_lock(path)
    from envctl.cli.pins import engine_and_pins
    from envctl.workflow.ask import Ask

    engine, found = engine_and_pins(engines, pins)
    return build.resolved(Ask(task="command", engine=engine, pins=found, **asked), screen)


def _build(lock: Lock, order: Order, outputs: list[str], screen: Screen) -> None:
    from dataclasses import replace

    from envctl.workflow import build

    built = build.build(lock, replace(order, outputs=tuple(outputs)), screen)
    screen.quiet()
    if screen.as_json:
        screen.print_json(_data(built))
        return
    for label, text in _lines(built):
        print(f"  {label:<9} {text}")


def _lines(built: Built) -> list[tuple[str, str]]:
    lines = [("image", built.image.config_descriptor.digest), ("manifest", built.image.digest)]
    lines += [("lock", built.lock.digest), ("base", f"{built.base.digest} (CPython {built.base.python})")]
    lines += [("layer", f"{diff_id[7:19]} {title}") for diff_id, title in built.layers]
    lines += [("wrote", path) for path in built.wrote]
    if built.sent is not None:
        lines += [("loaded", f"{', '.join(built.names)} ({built.sent} of {len(built.image.layers)} layers sent)")]
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
