"""`envctl resolve`: one consistent stack, or the shortest proof that there is none."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from envctl.cli import options
from envctl.cli.screen import Screen, guarded

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Host = Annotated[
    str, typer.Option("--host", metavar="this|FILE|'driver=535.104.05 gpu=8.6'", help="The machine it is for.")
]


@app.command()
def resolve(
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
    pin: options.Pins = [],  # noqa: B006
    host: Host = "this",
    as_json: options.Json = False,
) -> None:
    """Find one consistent stack of the newest versions that fit, each with its source; or prove that there is none."""
    from envctl.cli.pins import read_pins
    from envctl.workflow.resolve import resolve as find

    given = {
        "--trt": trt, "--trt-rtx": trt_rtx, "--tf": tf, "--ort": ort, "--openvino": openvino, "--ncnn": ncnn,
        "--litert": litert, "--mxnet": mxnet, "--cuda": cuda, "--cudnn": cudnn, "--python": python,
    }  # fmt: skip
    screen = Screen(as_json)
    with guarded(screen):
        stack = find(read_pins(given, pin), host)
        if as_json:
            screen.print_json({"status": "resolved", "stack": asdict(stack)})
            return
        from rich.console import Console

        from envctl.cli.result import print_choices, print_unmet, row

        console = Console(soft_wrap=True, highlight=False)
        print_choices(console, stack)
        for name, specs in sorted(stack.constraints.items()):
            row(console, name, f"{','.join(specs)}  (a Python package: the lock chooses)")
        print_unmet(console, stack)
