"""A comparison beside an older one: what became slower, larger or less accurate, beyond what noise explains. Pure.

The rule is in docs/report.md. Every figure is `worse`, `better`, `same` or `unclear`: too large to be nothing, too
uncertain to be sure. Only what is worse counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from envctl.bench.accuracy import worst_error
from envctl.bench.document import Cell, Document, Latency, OutputError
from envctl.bench.welch import Ratio, ratio

Finding = Literal["worse", "better", "same", "unclear"]
LATENCY, THROUGHPUT, MEMORY = 1.05, 1.10, 1.10  # ratios that are worth telling
LEAST_MEMORY = 8 << 20  # bytes that an allocator gives or takes
ERROR, SHARE_OF_LIMIT, TOP1 = 2.0, 0.1, 0.01
FOREIGN = 0.10  # of all CPUs taken by others: what is slower then is not the engine's fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One figure of one cell, before and now; `ratio` is new by old, `why` what speaks for or against the finding."""

    cell: str
    figure: str
    old: float | None
    new: float | None
    ratio: float | None
    finding: Finding
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Against:
    """All changes of the cells that both documents have, and what must be known to read them."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def regressed(self) -> bool:
        """Whether anything became worse."""
        return any(change.finding == "worse" for change in self.changes)


def against(old: Document, new: Document) -> Against:
    """The new document beside the old one, cell by cell (by their ids)."""
    before = {cell.id: cell for cell in old.cells}
    comparable = _same_machine(old, new)
    foreign = max(new.noise.foreign_cpu or 0.0, old.noise.foreign_cpu or 0.0)
    changes: list[Change] = []
    for cell in new.cells:
        if cell.id in before:
            changes += _cell(before[cell.id], cell, comparable, foreign)
    return Against(changes=tuple(changes), notes=tuple(_notes(old, new, comparable, foreign)))


def _same_machine(old: Document, new: Document) -> bool:
    return all(getattr(old.host, name) == getattr(new.host, name) for name in ("cpu", "cores", "gpu", "runner"))


def _notes(old: Document, new: Document, comparable: bool, foreign: float) -> Iterator[str]:
    if not comparable:
        yield (
            f"another machine or runner (then {old.host.cpu}, {old.host.cores} cores, {old.host.runner}; "
            f"now {new.host.cpu}, {new.host.cores} cores, {new.host.runner}): speed and memory are not compared"
        )
    if old.model.digest != new.model.digest:
        yield f"another model: then {old.model.digest[:12]}, now {new.model.digest[:12]}"
    if foreign > FOREIGN:
        yield f"other processes took {foreign:.0%} of the CPUs: what is slower is called unclear"
    ids = ({cell.id for cell in document.cells} for document in (old, new))
    gone, added = (sorted(each) for each in _either_side(*ids))
    if gone:
        yield f"not measured now: {', '.join(gone)}"
    if added:
        yield f"not in the older one: {', '.join(added)}"


def _either_side(before: set[str], now: set[str]) -> tuple[set[str], set[str]]:
    return before - now, now - before


def _cell(old: Cell, new: Cell, comparable: bool, foreign: float) -> Iterator[Change]:
    if old.status != new.status and "passed" in (old.status, new.status):
        finding: Finding = "worse" if old.status == "passed" else "better"
        why = f"{old.status} then, {new.status} now" + (f": {new.reason.what}" if new.reason else "")
        yield Change(cell=new.id, figure="status", old=None, new=None, ratio=None, finding=finding, why=why)
    if old.status != "passed" or new.status != "passed":
        return
    yield from _accuracy(old, new)
    if comparable:
        yield from _speed(old, new, foreign)
        yield from _memory(old, new)


def _speed(old: Cell, new: Cell, foreign: float) -> Iterator[Change]:
    if old.latency is None or new.latency is None:
        return
    found = ratio(*(each.rounds[-each.steady :] for each in (old.latency, new.latency)))
    shaky = [name for name, each in (("then", old.latency), ("now", new.latency)) if not each.stable]
    doubt = f"unstable {' and '.join(shaky)}" if shaky else ""
    if foreign > FOREIGN and found.value > 1:
        doubt = doubt or f"others took {foreign:.0%} of the CPUs"
    yield _latency(new.id, old.latency, new.latency, found, doubt)
    before, now = (each.throughput.per_s if each.throughput else None for each in (old, new))
    if before and now:
        slower = Ratio(value=before / now, low=before / now * found.low / found.value,
                       high=before / now * found.high / found.value)  # fmt: skip
        finding, why = judged(slower, THROUGHPUT, doubt)
        yield Change(
            cell=new.id, figure="throughput", old=before, new=now, ratio=now / before, finding=finding, why=why
        )


def _latency(cell: str, old: Latency, new: Latency, found: Ratio, doubt: str) -> Change:
    finding, why = judged(found, LATENCY, doubt)
    return Change(
        cell=cell, figure="latency", old=old.median, new=new.median, ratio=found.value, finding=finding, why=why
    )


def judged(found: Ratio, least: float, doubt: str = "") -> tuple[Finding, str]:
    """What a ratio (more is worse) comes to: it must be worth telling, and its whole interval on one side of 1."""
    interval = f"99 % between {found.low:.3f} and {found.high:.3f}" if isfinite(found.high) else "one round only"
    if 1 / least <= found.value <= least:
        return "same", interval
    if doubt or found.low <= 1 <= found.high:
        return "unclear", f"{interval}{f'; {doubt}' if doubt else ''}"
    return ("worse" if found.value > 1 else "better"), interval


def _memory(old: Cell, new: Cell) -> Iterator[Change]:
    before, now = (each.memory.peak if each.memory else None for each in (old, new))
    if not before or not now:
        return
    told = abs(now - before) > LEAST_MEMORY and not 1 / MEMORY <= now / before <= MEMORY
    finding: Finding = ("worse" if now > before else "better") if told else "same"
    why = f"{(now - before) / (1 << 20):+.1f} MiB at the peak"
    yield Change(cell=new.id, figure="memory", old=before, new=now, ratio=now / before, finding=finding, why=why)


def _accuracy(old: Cell, new: Cell) -> Iterator[Change]:
    """The largest error, the worst cosine and the least top-1 agreement: the same inputs give the same figures, up to
    the order in which threads add."""
    limits = new.verdict.tolerance if new.verdict else {}
    before, now = worst_error(old), worst_error(new)
    if before is not None and now is not None:
        yield _error(new.id, "error", before, now, limits.get("max_abs") or 1e-2)
    cosines = [[1 - each.cosine for each in _outputs(cell)] for cell in (old, new)]
    if all(cosines):
        yield _error(new.id, "1 - cosine", max(cosines[0]), max(cosines[1]), 1 - (limits.get("cosine") or 0.999))
    tops = [[each.top1 for each in _outputs(cell) if each.top1 is not None] for cell in (old, new)]
    if all(tops):
        yield _share(new.id, "top-1", min(tops[0]), min(tops[1]))
    if old.task and new.task and (old.task.metric, old.task.samples) == (new.task.metric, new.task.samples):
        yield _share(new.id, new.task.metric, old.task.target, new.task.target)


def _outputs(cell: Cell) -> Iterable[OutputError]:
    return cell.verdict.outputs if cell.verdict else ()


def _error(cell: str, figure: str, old: float, new: float, limit: float) -> Change:
    """Twice as large, and a tenth of the limit or more: below that it is the order of additions."""
    floor = SHARE_OF_LIMIT * limit
    finding: Finding = "same"
    if max(old, new) > floor and new > ERROR * old:
        finding = "worse"
    elif max(old, new) > floor and old > ERROR * new:
        finding = "better"
    share = new / old if old and isfinite(new) and isfinite(old) else None
    why = f"told from {floor:.1g} on"
    return Change(cell=cell, figure=figure, old=old, new=new, ratio=share, finding=finding, why=why)


def _share(cell: str, figure: str, old: float, new: float) -> Change:
    """A share of right answers, or a metric like it: a hundredth counts."""
    finding: Finding = "worse" if new < old - TOP1 else "better" if new > old + TOP1 else "same"
    share = new / old if old else None
    return Change(cell=cell, figure=figure, old=old, new=new, ratio=share, finding=finding, why=f"{new - old:+.4f}")
