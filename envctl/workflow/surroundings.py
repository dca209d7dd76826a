"""The machine around a measurement: load, CPUs' time, clock, energy counters. Reads the kernel's files, no more.

https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from envctl.bench.noise import Cpu, read_cpu, wrapped

ROOT = Path("/")
POWERCAP = "sys/class/powercap"


def cpu(root: Path = ROOT) -> Cpu:
    """What all CPUs did since the machine started."""
    return read_cpu((root / "proc/stat").read_text(encoding="ascii"), os.sysconf("SC_CLK_TCK"))


def load(root: Path = ROOT) -> float | None:
    """The load average of the last minute."""
    try:
        return float((root / "proc/loadavg").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def governor(root: Path = ROOT) -> str | None:
    """How the kernel chooses the clock of the first CPU; None where it does not (a virtual machine)."""
    with suppress(OSError):
        path = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
        return path.read_text(encoding="ascii").strip() or None
    return None


def clock(root: Path = ROOT) -> tuple[float, float] | None:
    """The least and the highest clock of all CPUs now, in MHz."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    found = [int(text) / 1000 for path in files if (text := _text(path)).isdigit()]
    if not found:
        found = [float(each) for each in re.findall(r"^cpu MHz\s*:\s*([\d.]+)$", _text(root / "proc/cpuinfo"), re.M)]
    return (min(found), max(found)) if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counter:
    """One package's energy: microjoules that begin again at `most`."""

    name: str
    path: Path
    most: int

    def read(self) -> int | None:
        """The counter now; None where it cannot be read."""
        text = _text(self.path)
        return int(text) if text.isdigit() else None


def counters(root: Path = ROOT) -> tuple[tuple[Counter, ...], str]:
    """The energy counters of all packages that can be read, or none and why."""
    found = list(_packages(root))
    if not found:
        return (), "this machine shows no RAPL counter (/sys/class/powercap)"
    if any(each.read() is None for each in found):
        return (), f"{found[0].path} may be read by root alone"
    return tuple(found), ""


def _packages(root: Path) -> Iterator[Counter]:
    """Packages only: their cores and graphics are counted in them."""
    for folder in sorted((root / POWERCAP).glob("intel-rapl:[0-9]*")):
        most = _text(folder / "max_energy_range_uj")
        if folder.name.count(":") == 1 and _text(folder / "name").startswith("package") and most.isdigit():
            yield Counter(name=_text(folder / "name"), path=folder / "energy_uj", most=int(most))


def joules(found: tuple[Counter, ...], before: list[int | None], after: list[int | None]) -> float | None:
    """The energy between two readings of all counters; None where one of them failed."""
    used = 0
    for counter, early, late in zip(found, before, after, strict=True):
        if early is None or late is None:
            return None
        used += wrapped(early, late, counter.most)
    return used / 1e6


def free_memory(root: Path = ROOT) -> int | None:
    """The bytes that programs could take now without swapping."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", _text(root / "proc/meminfo"), re.M)
    return int(found[1]) * 1024 if found else None
