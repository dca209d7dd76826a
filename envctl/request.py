"""What the solver is asked: an engine, pins, and what is known of the machine and the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from envctl.release import Claim
from envctl.versions import Condition

# how people call engines (the options of the command line, without dashes) -> their names in the matrix
ENGINE_OPTIONS = {
    "trt": "tensorrt",
    "trt-rtx": "tensorrt-rtx",
    "tf": "tensorflow",
    "ort": "onnxruntime",
    "ort-gpu": "onnxruntime-gpu",
    "ort-openvino": "onnxruntime-openvino",
    "openvino": "openvino",
    "ncnn": "ncnn",
    "litert": "litert",
    "mxnet": "mxnet",
    "torch": "torch",
}
Line = tuple[str, str, tuple[str, ...]]  # component that claims, component claimed on, alternatives


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """What the person asked for: `--ort 1.17` is (`onnxruntime`, `==1.17.*`, said as `--ort 1.17`)."""

    name: str
    condition: Condition
    said: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """The values a component can have here, best first, and what says so. No value: known to be absent.

    `together`: all of them are here at once (two GPUs), and one of them will do.
    """

    values: tuple[str, ...]
    origin: str
    together: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One question for the solver. `deferred` facts may be absent: what they must be is listed as unmet.

    `on_gpu` adds what engines that can do without a GPU require for work on one, `ptx` what code needs that the driver
    compiles. Claims on `foreign` components are about another operating system, and passed over; so are the lines that
    `ignored` names (for proofs). `measured` are failures seen before, as claims of the release that failed; releases
    that worked before (`preferred`: name, version) are tried first. `stand_ins` may stand in for a claim; None: those
    of which all that they ask of the host is known. Claims for the sake of a feature (TF-TRT) count where it is among
    `features`; None: always, but those that a wheel's extra pins. Of all lines `only` these count, if any are named.
    """

    engine: str
    pins: tuple[Pin, ...]
    known: Mapping[str, Known]
    deferred: frozenset[str] = frozenset()
    on_gpu: bool = False
    ptx: bool = False
    foreign: frozenset[str] = frozenset()
    ignored: frozenset[Line] = frozenset()
    measured: Mapping[tuple[str, str], tuple[Claim, ...]] = field(default_factory=dict)
    preferred: frozenset[tuple[str, str]] = frozenset()
    stand_ins: frozenset[str] | None = None
    features: frozenset[str] | None = None
    only: frozenset[Line] | None = None


def without_fact(request: Request, name: str) -> Request:
    """The same question where nothing is known of `name`."""
    known = {other: value for other, value in request.known.items() if other != name}
    return replace(request, known=known, deferred=request.deferred | {name})


def without_pin(request: Request, pin: Pin) -> Request:
    """The same question without one of its pins."""
    return replace(request, pins=tuple(other for other in request.pins if other is not pin))


def line_of(claim: Claim) -> Line:
    """The line of a proof that a claim belongs to: all releases of a component that say the same make one."""
    return claim.owner.partition(" ")[0], claim.name, claim.condition.any
