"""Does a reference respond to its input? One that does not certifies nothing: a constant model passes every check.

Found with real models: an untrained MobileNetV2 and all of onnx's light models answer the same whatever they are
shown (docs/evidence.md#constant-models). So the reference is also run on probes made from the first samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envctl.verify.tolerance import FP32, Tolerance

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

PERMUTED = 4
# how far the answer must move, in tolerances: fp32's a hundred times, the judged row's twice
FP32_TIMES, ROW_TIMES = 100.0, 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """How far an output moved for each probe, in units of its scale (its largest absolute value)."""

    output: str
    moved: dict[str, float]

    def unmoved(self, tolerance: Tolerance) -> list[str]:
        """The probes that the output could not be told from, given what the comparison would let pass."""
        floor = max(FP32_TIMES * (FP32.max_abs or 0), ROW_TIMES * (tolerance.max_abs or 0))
        return [probe for probe, moved in self.moved.items() if not moved >= floor]


def with_probes(inputs: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """The inputs with probes appended: zeros, the first samples (four at most) with their values in another order,
    and, where there is one sample only, that sample backwards."""
    import numpy as np

    generator = np.random.default_rng(seed)
    probed = {}
    for name, array in inputs.items():
        permuted = [generator.permutation(sample.reshape(-1)).reshape(sample.shape) for sample in array[:PERMUTED]]
        another = [] if len(array) > 1 else [np.flip(array[0].reshape(-1)).reshape(array[0].shape)]
        probed[name] = np.concatenate([array, np.stack([np.zeros_like(array[0]), *permuted, *another])])
    return probed


def telling(inputs: Mapping[str, Array]) -> frozenset[str]:
    """The probes that differ from the samples they are made from: zeros do not where the samples are zero, and a single
    number has no other order."""
    import numpy as np

    found = set()
    for array in inputs.values():
        rows = array.reshape(len(array), -1)
        ordered = np.any(rows[:PERMUTED] != rows[:PERMUTED, :1])
        found |= {"zeros"} if np.any(rows) else set()
        found |= {"permuted"} if ordered else set()
        found |= {"another sample"} if np.any(rows != rows[:1]) or (len(rows) == 1 and ordered) else set()
    return frozenset(found)


def responses(outputs: Mapping[str, Array], samples: int, probes: frozenset[str]) -> list[Response]:
    """For each output of a run on `with_probes` inputs: how far each of `probes` moved it from a sample's answer, at
    most.

    At most, for a classifier that is sure of itself gives one noise and the next the same answer now and then.
    """
    import numpy as np

    found = []
    for name, array in outputs.items():
        values = np.asarray(array, dtype=np.float64)
        answers, zeros, rest = values[:samples], values[samples : samples + 1], values[samples + 1 :]
        count = min(samples, PERMUTED)
        pairs = {
            "zeros": (answers, zeros),
            "permuted": (answers[:count], rest[:count]),
            "another sample": (answers[:1], answers[1:] if samples > 1 else rest[count:]),
        }
        scale = float(np.max(np.abs(values[np.isfinite(values)]), initial=0.0))
        moved = {probe: _farthest(*pair) / scale if scale else 0.0 for probe, pair in pairs.items() if probe in probes}
        found.append(Response(output=name, moved=moved))
    return found


def _farthest(before: Array, after: Array) -> float:
    """The largest |after - before|; a NaN on one side only is infinitely far."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        error = np.abs(after - before)
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    return float(np.max(np.where(same, 0.0, np.where(np.isnan(error), np.inf, error)), initial=0.0))
