"""What else the machine did while a cell was measured: readings before and after -> shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DISTURBED = 0.05  # share of all CPUs that other work may take in a turn without a word


@dataclass(frozen=True, kw_only=True, slots=True)
class Cpu:
    """Seconds of all CPUs together since the machine started: at work, waiting, and taken by other guests."""

    busy: float
    idle: float
    stolen: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One turn of one cell: CPU seconds that there were, that others used, and that other guests took."""

    available: float
    foreign: float
    stolen: float

    @property
    def share(self) -> float:
        """The share of all CPUs that was not this cell's or envctl's own, and not idle."""
        return (self.foreign + self.stolen) / self.available if self.available else 0.0


def read_cpu(stat: str, ticks: int) -> Cpu:
    """The first line of /proc/stat: user nice system idle iowait irq softirq steal, in ticks a second (proc(5))."""
    numbers = [int(word) / ticks for word in stat.splitlines()[0].split()[1:9]]
    user, nice, system, idle, waiting, irq, softirq, steal = (*numbers, *[0.0] * (8 - len(numbers)))
    return Cpu(busy=user + nice + system + irq + softirq, idle=idle + waiting, stolen=steal)


def turn(before: Cpu, after: Cpu, own: float) -> Turn:
    """What happened between two readings; `own` are CPU seconds of the cell and of envctl."""
    busy, stolen = after.busy - before.busy, max(0.0, after.stolen - before.stolen)
    available = busy + stolen + max(0.0, after.idle - before.idle)
    return Turn(available=available, foreign=max(0.0, busy - own), stolen=stolen)


def shares(turns: Sequence[Turn]) -> tuple[float | None, float | None]:
    """The shares of all CPUs that other processes used and other guests took, over all turns; None without any."""
    available = sum(each.available for each in turns)
    if not available:
        return None, None
    return sum(each.foreign for each in turns) / available, sum(each.stolen for each in turns) / available


def notes(turns: Sequence[Turn]) -> list[str]:
    """What a reader must know of the other work."""
    disturbed = sum(each.share > DISTURBED for each in turns)
    if not disturbed:
        return []
    return [f"other work took more than {DISTURBED:.0%} of the CPUs in {disturbed} of {len(turns)} turns"]


def wrapped(before: int, after: int, most: int) -> int:
    """The difference of two readings of a counter that begins again at `most`."""
    return after - before if after >= before else after + most - before
