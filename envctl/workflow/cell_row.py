"""A measured cell as a document has it: every figure with its source, every unknown with its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from envctl.bench import figures
from envctl.bench.document import (
    Asked,
    Cell,
    CellStatus,
    Energy,
    Load,
    Memory,
    Part,
    Point,
    Ran,
    Size,
    Throughput,
    Trouble,
)
from envctl.bench.saturation import throughput
from envctl.workflow.bout import Bout, artifact, loads
from envctl.workflow.cells import Wish, command
from envctl.workflow.judged import Judged
from envctl.workflow.prepare import Prepared

BUSY = 0.02  # of one CPU, while other cells had their turns


def refused(wish: Wish, options: tuple[str, ...], status: CellStatus, reason: Trouble) -> Cell:
    """A cell that came to nothing before there was an environment."""
    from envctl.spec import read_spec

    return Cell(
        id=wish.id(None),
        engine=wish.ask.engine,
        title=read_spec(wish.ask.engine).title,
        version=None,
        asked=Asked(precision=wish.ask.precision, device=wish.device, version=wish.said),
        batch=wish.batch,
        threads=wish.ask.threads,
        colocate=wish.colocate,
        status=status,
        reason=reason,
        command=command(wish, None, options),
    )


def verified(wish: Wish, judged: Judged, options: tuple[str, ...]) -> Cell:
    """A cell with its verdict, stack and sizes, and nothing measured yet."""
    prepared = judged.work.target
    version = prepared.plan.stack.version(prepared.plan.spec.engine)
    infer = judged.work.outcome.results.get("infer")
    told = infer.read_back if infer else {}
    ran = Ran(
        precision=judged.work.outcome.precision, device=told.get("device", "unknown"), execution=told.get("execution")
    )
    return replace(
        refused(wish, options, judged.status, Trouble(what="")),
        id=wish.id(version),
        version=version,
        ran=ran if infer else None,
        reason=judged.reason,
        verdict=judged.verdict,
        task=judged.work.outcome.metric,
        size=_size(judged, prepared),
        stack=_stack(prepared),
        lock=prepared.environment.lock.digest,
        command=command(wish, version, options),
        notes=tuple(judged.work.outcome.notes),
    )


def _stack(prepared: Prepared) -> tuple[Part, ...]:
    choices = sorted(prepared.plan.stack.choices.items())
    return tuple(Part(component=name, version=each.version, source=each.source) for name, each in choices)


def _size(judged: Judged, prepared: Prepared) -> Size:
    environment = prepared.environment
    if environment.image:
        return Size(artifact=artifact(judged), environment=None, because="its image shares layers with others")
    return Size(artifact=artifact(judged), environment=disk_use(environment.folder))


def disk_use(folder: Path) -> int:
    """The bytes of a folder's files, each counted once however many names it has."""
    seen: dict[tuple[int, int], int] = {}
    for path in folder.rglob("*"):
        found = path.lstat()
        seen[found.st_dev, found.st_ino] = 0 if path.is_dir() else found.st_size
    return sum(seen.values())


def measured(cell: Cell, bout: Bout, wanted: int, *, complete: bool) -> Cell:
    """The cell with what its bout came to so far."""
    if bout.ended:
        status, reason = bout.ended
        cell = replace(cell, status=status, reason=reason)
    if not bout.rounds:
        return replace(cell, complete=complete)
    told = loads(bout)
    return replace(
        cell,
        complete=complete,
        load=Load(import_s=told["import"], load_s=told["load"], first_s=told["first"]),
        latency=figures.latency(bout.rounds, wanted, bout.warmup),
        throughput=_throughput(bout),
        memory=Memory(peak=bout.peak, steady=bout.resident, gpu=bout.on_gpu, because=_gpu_memory(bout)),
        energy=_energy(bout),
        idle_cpu=bout.idle / bout.rest if bout.rest else None,
        notes=(*cell.notes, *_notes(bout)),
    )


def _gpu_memory(bout: Bout) -> str:
    if bout.on_gpu is not None:
        return "gpu: what came into use on it since before the workers were started (NVML)"
    return "gpu: NVML tells none" if bout.counts_gpu else "gpu: none is used"


def _throughput(bout: Bout) -> Throughput:
    if bout.wish.colocate > 1:
        rate = bout.wish.batch * figures.together(bout.rounds)
        point = Point(batch=bout.wish.batch, concurrency=bout.wish.colocate, per_s=rate)
        return throughput([point], f"{bout.wish.colocate} processes at once, as asked: no search")
    return throughput(bout.curve, "" if bout.curve else "not searched for")


def _energy(bout: Bout) -> Energy:
    """The median round's joules for one inference."""
    counters, why = bout.counters()
    known = sorted(each for each in bout.joules if each is not None)
    if not known:
        return Energy(joule=None, source=None, because=why or "the counters could not be read")
    names = ", ".join(each.name for each in counters)
    meter = "NVML" if bout.counts_gpu else "RAPL"
    return Energy(joule=known[len(known) // 2], source=f"{meter}: {names}, with whatever else ran there")


def _notes(bout: Bout) -> list[str]:
    """What a reader must know of how it was measured."""
    said = [] if bout.settled else [f"it still changed after a warm-up of {bout.warmup} inferences"]
    if bout.rest and bout.idle / bout.rest > BUSY:
        said.append(f"its threads used {bout.idle / bout.rest:.0%} of a CPU while it had nothing to do")
    return said
