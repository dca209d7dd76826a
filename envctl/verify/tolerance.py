"""What may differ, by the precision that really ran.

Measured on four trained models over eight engines (docs/evidence.md#tolerances), on outputs whose largest value is
about 1. Limits on absolute error are therefore in units of the output's scale, its largest absolute value: so
logits of 100 are not failed for what float32 cannot hold, and tiny probabilities are not waved through.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """Limits of one precision. None: shown, not judged. `dense_top1` is for outputs with a class at every pixel."""

    precision: str
    max_abs: float | None
    p999_abs: float | None
    cosine: float
    top1: float
    dense_top1: float

    def overridden(self, atol: float | None, cosine: float | None, top1: float | None) -> Tolerance:
        """The same with what the user asked for instead."""
        changed = self
        if atol is not None:
            changed = replace(changed, max_abs=atol, p999_abs=atol)
        if cosine is not None:
            changed = replace(changed, cosine=cosine)
        if top1 is not None:
            changed = replace(changed, top1=top1, dense_top1=top1)
        return changed


FP32 = Tolerance(precision="fp32", max_abs=1e-4, p999_abs=2e-5, cosine=0.99999, top1=1.0, dense_top1=1.0)

ROWS = {
    "fp32": FP32,
    "fp16": Tolerance(precision="fp16", max_abs=2e-2, p999_abs=1.5e-2, cosine=0.999, top1=0.99, dense_top1=0.999),
    "bf16": Tolerance(precision="bf16", max_abs=0.2, p999_abs=0.2, cosine=0.94, top1=0.98, dense_top1=0.98),
    "int8": Tolerance(precision="int8", max_abs=None, p999_abs=None, cosine=0.85, top1=0.98, dense_top1=0.98),
}
