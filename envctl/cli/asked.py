"""What was said to a command that runs a model, as an `Ask`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from envctl.cli.grammar import shape, size
from envctl.errors import BadInput

if TYPE_CHECKING:
    from envctl.workflow.ask import Ask, Precision

PLAIN = (
    "model", "seed", "samples", "atol", "cosine", "top1", "threads", "keep", "record", "calibration", "preprocess",
    "dataset", "metric", "allow_fallback",
)  # fmt: skip


def plain(given: dict[str, Any]) -> dict[str, Any]:
    """The options that are in an `Ask` as they were said; `read` adds those with a grammar of their own."""
    return {name: given[name] for name in PLAIN if name in given}


def read(ask: Ask, given: dict[str, Any]) -> Ask:
    """The ask with those options that have a grammar of their own."""
    precision = given["precision"]
    if precision not in (None, "fp32", "fp16", "bf16", "int8"):
        raise BadInput(f"--precision {precision!r} is unknown", do=["one of fp32, fp16, bf16, int8"])
    shapes = [shape(text) for text in given["shape"]]
    return replace(
        _routed(ask, given),
        precision=cast("Precision | None", precision),
        input=None if given["input"] == "seeded" else Path(given["input"]),
        shapes={name: three[1] for name, three in shapes},
        ranges={name: three for name, three in shapes if three[0] != three[2]},
        memory=size(given["memory"]) if given["memory"] else None,
        seconds=given["timeout"],
        reference_model=given.get("reference"),
    )


def _routed(ask: Ask, given: dict[str, Any]) -> Ask:
    """The ask with what was said of the way to the engine."""
    from envctl.cli.pins import read_pins
    from envctl.routes import routes

    formats = {route.to for route in routes()}
    through = [text for text in given["via"] if text in formats]
    pins = read_pins({}, [text for text in given["via"] if text not in formats], "--via")
    if len(through) > 1 or given["layout"] not in ("", "nchw") or not given["opset"].isascii():
        raise BadInput("a model passes one format, in layout nchw or its own", do=["--via onnx --layout nchw"])
    if given["opset"] and not given["opset"].isdigit():
        raise BadInput(f"--opset {given['opset']!r} is not a number", do=["for example --opset 17"])
    return replace(ask, via=pins, through="".join(through), opset=given["opset"], layout=given["layout"])
