"""What NVML counts of NVIDIA GPUs while a model is measured: energy, and memory in use. Through nvidia-ml-py.

https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html (nvmlDeviceGetTotalEnergyConsumption: millijoules
since the driver was loaded, from Volta on; nvmlDeviceGetMemoryInfo: bytes; nvmlDeviceGetUtilizationRates: percent)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

NEVER = 1 << 64  # the counter has 64 bits: it does not begin again
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuCounter:
    """One GPU's energy in microjoules, as `surroundings.Counter` has a package's."""

    name: str
    handle: Any
    most: int = NEVER

    def read(self) -> int | None:
        """The counter now; None where the GPU has none."""
        import pynvml

        try:
            return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)) * 1000
        except pynvml.NVMLError:
            return None

    def used(self) -> int | None:
        """The bytes of its memory that are in use, by whatever process."""
        import pynvml

        try:
            return int(pynvml.nvmlDeviceGetMemoryInfo(self.handle).used)
        except pynvml.NVMLError:
            return None


def counters() -> tuple[tuple[GpuCounter, ...], str]:
    """The counter of the GPU that CUDA takes first, or none and why."""
    import pynvml

    try:
        pynvml.nvmlInit()
        found = GpuCounter(name="", handle=_first())
        told = str(pynvml.nvmlDeviceGetName(found.handle))
    except pynvml.NVMLError as error:
        return (), f"NVML does not answer: {error}"
    if found.read() is None:
        return (), f"{told} has no energy counter"
    return (GpuCounter(name=told, handle=found.handle),), ""


def busy() -> float | None:
    """The share of the last moments in which that GPU computed something, for anybody; None where NVML does not say."""
    import pynvml

    found, _ = counters()
    try:
        return int(pynvml.nvmlDeviceGetUtilizationRates(found[0].handle).gpu) / 100 if found else None
    except pynvml.NVMLError:
        return None


def _first() -> Any:
    """The first GPU that this process's CUDA sees: by index, or by (the beginning of) its UUID."""
    import pynvml

    word = os.environ.get(VISIBLE, "").split(",")[0].strip()
    if word.startswith(("GPU-", "MIG-")):
        return pynvml.nvmlDeviceGetHandleByUUID(word)
    return pynvml.nvmlDeviceGetHandleByIndex(int(word) if word.isdigit() else 0)
