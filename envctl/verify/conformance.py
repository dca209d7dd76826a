"""What a node test came to: what a worker said of it beside what it should have answered. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

# passed; built (an engine that cannot be run here); refused with a reason; another answer; the worker died; not tried,
# as the numbers have a type that numpy has not
State = Literal["passed", "built", "refused", "mismatch", "crashed", "skipped"]
STATES: tuple[State, ...] = ("passed", "built", "refused", "mismatch", "crashed", "skipped")
# the first that fits: what an engine says -> the class of its refusal
CLASSES = (
    ("opset or IR", r"(?i)\bopset\b|IR[ _]version|is under development"),
    (
        "no operator",
        r"(?i)NOT_IMPLEMENTED|not implemented|NotImplemented|No conversion rule|not a registered|no rule for"
        r"|has no layer|has no operator|unsupported operator|No Op registered|Plugin not found|: false \(node",
    ),
    ("type", r"(?i)\bdtype\b|convertDtype|data type|takes and gives|src_prc"),
    (
        "form of it",
        r"(?i)attribute|does(n.t| not) support|only supports|not supported|unsupported|OpConversionFailure"
        r"|Assertion failed|build-time constant|is not a constant",
    ),
    ("type", r"(?i)\btype\b|\bfloat(16|64)\b|\bu?int\d+\b|element type"),
    ("shape", r"(?i)\bshape|\bdims?\b|dimension|rank|axes|axis|batch|profile"),
    ("invalid graph", r"(?i)INVALID_GRAPH|invalid"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A case and what came of it: `why` is the class of a refusal, `predicted` what its header already said."""

    case: str
    op: str
    state: State
    stage: str = ""
    why: str = ""
    message: str = ""
    predicted: str = ""


def refusal(message: str, kind: str) -> str:
    """The class of a refusal: what the engine's words are about, else the kind of failure."""
    return next((name for name, words in CLASSES if re.search(words, message)), kind)


def differs(expected: Sequence[Array], answers: Sequence[Array], rtol: float, atol: float) -> str:
    """How answers differ from what they should be, "" where they do not; as ONNX's own runner compares them."""
    if len(expected) != len(answers):
        return f"{len(answers)} outputs instead of {len(expected)}"
    found = (_differs(index, *pair, rtol, atol) for index, pair in enumerate(zip(expected, answers, strict=True)))
    return next((each for each in found if each), "")


def _differs(index: int, expected: Array, answer: Array, rtol: float, atol: float) -> str:
    import numpy as np

    if expected.dtype.kind == "U":
        return "" if np.array_equal(expected, answer.astype(str)) else f"output {index}: other texts"
    if expected.dtype != answer.dtype:
        return f"output {index} is {answer.dtype} instead of {expected.dtype}"
    if expected.shape != answer.shape:
        return f"output {index} has the shape {list(answer.shape)} instead of {list(expected.shape)}"
    with np.errstate(all="ignore"):
        if np.allclose(answer, expected, rtol=rtol, atol=atol, equal_nan=expected.dtype.kind in "fc"):
            return ""
        wide = np.complex128 if expected.dtype.kind == "c" else np.float64
        worst = float(np.nanmax(np.abs(answer.astype(wide) - expected.astype(wide)), initial=0.0))
    return f"output {index}: max abs error {worst:.3g}"


def tally(findings: Sequence[Finding]) -> dict[str, int]:
    """How many of each state."""
    counts = Counter(each.state for each in findings)
    return {state: counts[state] for state in STATES}


def by_op(findings: Sequence[Finding]) -> dict[str, dict[str, int]]:
    """The tally of each operator, by name."""
    names = sorted({each.op for each in findings})
    return {name: tally([each for each in findings if each.op == name]) for name in names}


def reasons(findings: Sequence[Finding]) -> dict[str, int]:
    """The classes of refusals, the most frequent first."""
    return dict(Counter(each.why for each in findings if each.state == "refused").most_common())


@dataclass(frozen=True, kw_only=True, slots=True)
class Foresight:
    """How well headers foretold, of the cases that were tried: `failed` did not load, `told` of these were foretold;
    `wrongly` loaded all the same."""

    failed: int
    told: int
    wrongly: int

    @property
    def share(self) -> float | None:
        """The share of load failures that were predicted."""
        return self.told / self.failed if self.failed else None


def foresight(findings: Sequence[Finding]) -> Foresight:
    """The same of cases that were tried in spite of what their headers said."""
    failed = [each for each in findings if each.state == "refused" and each.stage in ("convert", "load")]
    loaded = [each for each in findings if each.stage in ("run", "ran") and each.predicted]
    return Foresight(failed=len(failed), told=sum(bool(each.predicted) for each in failed), wrongly=len(loaded))
