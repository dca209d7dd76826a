"""Options that go together, declared once: a command has a group of them as one parameter.

A group is a function. Its parameters are the options; what it returns is what the command is given.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from envctl.cli import options

Said = dict[str, Any]  # what was said, by the option's name


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of a group in the place of each parameter that is one."""
    signature = inspect.signature(command, eval_str=True)
    groups = {name: group for name, each in signature.parameters.items() if (group := _group(each))}

    @wraps(command)
    def expanded(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{option: given.pop(option) for option in _members(group)})
        command(**given)

    parameters: list[inspect.Parameter] = []
    for name, each in signature.parameters.items():
        parameters += _members(groups[name]).values() if name in groups else [each]
    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return expanded


def _group(parameter: inspect.Parameter) -> Callable[..., Said] | None:
    metadata = getattr(parameter.annotation, "__metadata__", (None,))
    return metadata[0] if inspect.isfunction(metadata[0]) else None


def _members(group: Callable[..., Said]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(group, eval_str=True).parameters)


def _pins(**said: str | None) -> dict[str, str | None]:
    return {f"--{name}": said[name.replace("-", "_")] for name in options.PINS}


def _pin(name: str) -> inspect.Parameter:
    annotation = Annotated[str | None, typer.Option(f"--{name}", help=options.PINS[name])]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name.replace("-", "_"), kind, default=None, annotation=annotation)


_pins.__signature__ = inspect.Signature(list(map(_pin, options.PINS)))  # type: ignore[attr-defined]


def _where(
    *,
    runner: Annotated[str, typer.Option("--runner", help="auto, local or docker.")] = "auto",
    index: options.Index = [],  # noqa: B006
    offline: options.Offline = False,
) -> Said:
    return {"runner": runner, "index": tuple(index), "offline": offline}


def _inference(
    *,
    seed: Annotated[int, typer.Option(help="Seed of the inputs.")] = 0,
    samples: Annotated[int, typer.Option(min=1, max=100_000, help="How many seeded samples.")] = 16,
    shape: Annotated[
        list[str], typer.Option("--shape", metavar="NAME=1x3x224x224", help="Shape of one inference, or MIN:OPT:MAX.")
    ] = [],  # noqa: B006
    via: Annotated[
        list[str],
        typer.Option(
            "--via", metavar="FORMAT|NAME=SPEC", help="Format to pass (onnx, tflite), or a pin of its framework."
        ),
    ] = [],  # noqa: B006
    opset: Annotated[str, typer.Option("--opset", metavar="N", help="Write this ONNX opset.", show_default=False)] = "",
    layout: Annotated[
        str, typer.Option("--layout", metavar="nchw", help="Channels first, if NHWC.", show_default=False)
    ] = "",
    allow_fallback: Annotated[
        bool, typer.Option("--allow-fallback", help="Let nodes that the GPU cannot run go to the CPU.")
    ] = False,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            "--calibrate",
            metavar="PLACE",
            help="Samples for int8: FILE.npz, a folder of such or of images, MODULE.py:FUNCTION, or seeded.",
        ),
    ] = None,
    preprocess: Annotated[
        str,
        typer.Option(metavar="FILE.toml|NAME=VALUE…", help="What images go through: scale, mean, std, size, order …"),
    ] = "",
) -> Said:
    return locals()


def _judged(
    *,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="PLACE", help="Labelled samples: .npz with x and y, class folders."),
    ] = None,
    metric: Annotated[
        str,
        typer.Option("--metric", metavar="METRIC", help="top1, miou, cosine, or MODULE.py:FUNCTION, on --dataset."),
    ] = "",
    reference: Annotated[
        Path | None, typer.Option("--reference", help="Compare with this model instead of MODEL.")
    ] = None,
) -> Said:
    return locals()


def _limits(
    *,
    atol: Annotated[float | None, typer.Option(min=0, help="Error limit in units of the output's scale.")] = None,
    cosine: Annotated[float | None, typer.Option(min=-1, max=1, help="Least cosine of a sample.")] = None,
    top1: Annotated[float | None, typer.Option(min=0, max=1, help="Least top-1 agreement.")] = None,
) -> Said:
    return locals()


def _caps(
    *,
    threads: Annotated[int, typer.Option(min=0, help="Threads of the engine; 0: its own choice.")] = 0,
    memory: options.Memory = None,
    timeout: options.Timeout = 1800,
) -> Said:
    return locals()


def _kept(
    *,
    keep: options.Keep = False,
    record: Annotated[
        bool, typer.Option("--record", help="Keep what was observed as evidence for later solves.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be done, and do nothing.")] = False,
) -> Said:
    return locals()


Pinned = Annotated[dict[str, str | None], _pins]  # by option: {"--ort": "1.31", "--trt": None, …}
Where = Annotated[Said, _where]
Inference = Annotated[Said, _inference]
Judged = Annotated[Said, _judged]
Limits = Annotated[Said, _limits]
Caps = Annotated[Said, _caps]
Kept = Annotated[Said, _kept]
