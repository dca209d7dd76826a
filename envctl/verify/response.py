"""Does a reference respond to its input? One that does not certifies nothing: a constant model passes every check.

Found with real models: an untrained MobileNetV2 and all of onnx's light models answer the same whatever they are
shown (docs/evidence.md#constant-models). So the reference is also run on probes made from the first sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envctl.verify.tolerance import FP32, Tolerance

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

PROBES = ("zeros", "permuted", "another sample")
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
    """The inputs with three samples appended: zeros, the first sample's values in another order, another sample."""
    import numpy as np

    generator = np.random.default_rng(seed)
    probed = {}
    for name, array in inputs.items():
        first = array[0]
        permuted = generator.permutation(first.reshape(-1)).reshape(first.shape)
        other = array[1] if len(array) > 1 else np.flip(first.reshape(-1)).reshape(first.shape)
        probed[name] = np.concatenate([array, np.stack([np.zeros_like(first), permuted, other])])
    return probed


def responses(outputs: Mapping[str, Array]) -> list[Response]:
    """For each output of a run on `with_probes` inputs: its distance from the first sample's answer."""
    import numpy as np

    found = []
    for name, array in outputs.items():
        values = np.asarray(array, dtype=np.float64)
        first, probes = values[0], values[-len(PROBES) :]
        scale = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
        moved = [float(np.max(np.abs(probe - first), initial=0.0)) / scale if scale else 0.0 for probe in probes]
        found.append(Response(output=name, moved=dict(zip(PROBES, moved, strict=True))))
    return found
