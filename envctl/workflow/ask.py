"""What a person asked for, and what the run tells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from envctl.lockfile import LockFile
    from envctl.request import Pin
    from envctl.workflow.plan import Plan

Task = Literal["convert", "infer", "verify", "command"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
Sizes: TypeAlias = "tuple[int, ...]"
SEEDED = "seeded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One `envctl run`: the engine, the pins, the task and its options. Sizes are bytes, times seconds.

    With a `lock` its target for this host is used as it is, and there are no pins. A model that the engine does not
    read passes its framework's environment: `via` are pins of that, `through` is the format to pass ("": whichever
    leads to the engine), `opset` what shall be written ("": the highest that both know), `layout` "nchw" for channels
    first. `ranges` are the least, usual and largest shapes of inputs; the usual one stands in `shapes` too.
    `calibration` is a place of samples (envctl/samples.py), `preprocess` what images there go through, `dataset` one
    of labelled samples, on which `metric` is taken. `keep_layers` are nodes that stay in float32 where a precision is
    written into the graph's types. With `ci` nothing that a later run would build upon is changed. `provider` is
    another way to execute than the engine's own.
    """

    task: Task
    engine: str
    pins: tuple[Pin, ...]
    runner: str = "auto"
    model: Path | None = None
    reference_model: Path | None = None
    output: Path | None = None
    input: Path | None = None
    seed: int = 0
    samples: int = 16
    precision: Precision | None = None
    shapes: dict[str, Sizes] = field(default_factory=dict)
    ranges: dict[str, tuple[Sizes, Sizes, Sizes]] = field(default_factory=dict)
    calibration: str | None = None
    preprocess: str = ""
    dataset: str | None = None
    metric: str = ""
    ci: bool = False
    gpu: str | None = None
    provider: str = ""
    threads: int = 0
    memory: int | None = None
    seconds: int = 1800
    atol: float | None = None
    cosine: float | None = None
    top1: float | None = None
    verify: bool = True
    keep: bool = False
    force: bool = False
    offline: bool = False
    refresh: bool = False
    record: bool = False
    index: tuple[str, ...] = ()
    lock: LockFile | None = None
    via: tuple[Pin, ...] = ()
    through: str = ""
    opset: str = ""
    layout: Literal["", "nchw"] = ""
    allow_fallback: bool = False
    keep_layers: tuple[str, ...] = ()


class Listener(Protocol):
    """Whoever is told how the run goes."""

    def say(self, text: str) -> None:
        """What is being done now."""

    def planned(self, role: str, plan: Plan) -> None:
        """A stack was found for the target or the reference; nothing has been made yet."""

    def prepared(self, role: str) -> None:
        """The environment of that role is there."""
