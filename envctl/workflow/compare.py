"""`envctl compare` and `bench`: every cell verified first, then all measured in rounds; saved as it comes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from envctl import __version__
from envctl import host as host_module
from envctl.bench import noise, reading
from envctl.bench.document import (
    Cell,
    Document,
    Host,
    Kind,
    Model,
    Noise,
    Reference,
    Settings,
    TensorShape,
)
from envctl.errors import BadInput, EnvctlError, Reason
from envctl.host import HostFacts
from envctl.model import ModelFacts
from envctl.tree import cache_root, canonical_json, disk_errors, write_whole
from envctl.workflow import cell_row, deliver, surroundings
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.bout import Bout
from envctl.workflow.cells import Matrix, Wish, batched, key_of, own_batch, wishes
from envctl.workflow.judged import Judged, Muted, judge, trouble
from envctl.workflow.plan import choose_runner
from envctl.workflow.rounds import Pace, measure
from envctl.workflow.source import read_source

SHARE = 0.6  # of the free memory, which the cells of one wave may take together
AGAIN = ("error", "timeout", "killed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What was asked for. `base` has the options of all cells; `options` are those as words, for the commands that
    reproduce a cell; `output` is written as figures come; `resume` is a document to go on with."""

    kind: Kind
    base: Ask
    matrix: Matrix
    command: str
    options: tuple[str, ...] = ()
    rounds: int = 5
    seconds: float = 0.5
    throughput: bool = True
    output: Path | None = None
    resume: Path | None = None


@dataclass(kw_only=True, slots=True)
class _State:
    """A comparison while it goes on."""

    wanted: Comparison
    document: Document
    cells: dict[tuple[object, ...], Cell] = field(default_factory=dict)
    order: tuple[tuple[object, ...], ...] = ()
    turns: list[noise.Turn] = field(default_factory=list)
    clocks: list[tuple[float, float]] = field(default_factory=list)

    def put(self, wish: Wish, cell: Cell) -> None:
        self.cells[wish.key] = cell

    def whole(self) -> Document:
        """The document of what is known now, its cells in the order that they were asked for."""
        cells = _unlike(tuple(self.cells[key] for key in self.order if key in self.cells))
        return replace(self.document, cells=cells, noise=self._noise())

    def _noise(self) -> Noise:
        if not self.turns:
            return self.document.noise
        foreign, stolen = noise.shares(self.turns)
        spans = (min(low for low, _ in self.clocks), max(high for _, high in self.clocks)) if self.clocks else None
        notes = (*self.document.noise.notes, *noise.notes(self.turns))
        return replace(self.document.noise, foreign_cpu=foreign, stolen=stolen, frequency=spans, notes=notes)

    def save(self) -> None:
        if self.wanted.output:
            write_whole(self.wanted.output, canonical_json(reading.as_data(self.whole())))


def compare(wanted: Comparison, listener: Listener, probes: host_module.Probes) -> Document:
    """Measure every cell; failures of cells are in the document, those of the whole are raised (envctl.errors)."""
    assert wanted.base.model
    facts = read_source(wanted.base.model)
    found = wishes(wanted.matrix, wanted.base, facts)
    if wanted.kind == "bench" and len(found) > 1:
        raise BadInput(f"bench measures one cell, and that are {len(found)}", do=["several: envctl compare"])
    if wanted.output:
        _check_output(wanted.output)
    before = reading.load(wanted.resume) if wanted.resume else None
    host = host_module.collect(probes)
    runner, _ = choose_runner(wanted.base.runner)
    state = _State(
        wanted=wanted, document=_document(wanted, facts, host, runner.name), order=tuple(w.key for w in found)
    )
    if before:
        _go_on(state, before)
    left = [wish for wish in found if wish.key not in state.cells]
    with _folder(state, wanted.base.keep) as folder:
        _all(state, left, facts, host, folder, listener)
    listener.say("")
    state.save()
    return state.whole()


def _check_output(path: Path) -> None:
    """Raise before anything is measured when it could not be kept."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder", do=["name the file for the figures: -o FILE.json"])
    deliver.check_writable(path.parent)


def _all(state: _State, left: list[Wish], facts: ModelFacts, host: HostFacts, folder: Path, listener: Listener) -> None:
    ready: list[Bout] = []
    for wish in left:
        name = f"cell {wish.number + 1} of {len(state.order)}, {wish.title}"
        judged = _verified(state, wish, facts, host, folder, Muted(listener, name))
        if judged and judged.measurable:
            ready.append(Bout(wish=wish, judged=judged))
        state.save()
    pace = _pace(state.wanted, host)
    for wave in _waves(ready, _free(host)):
        _measured(state, wave, pace, listener)


def _verified(
    state: _State, wish: Wish, facts: ModelFacts, host: HostFacts, folder: Path, listener: Muted
) -> Judged | None:
    """The verdict of a cell, and its row so far; None where it came to nothing."""
    options = state.wanted.options
    try:
        judged = judge(batched(wish, facts), facts, host, folder / f"cell-{wish.number}", listener)
    except EnvctlError as error:
        status, reason = trouble(error)
        state.put(wish, cell_row.refused(wish, options, status, reason))
        return None
    cell = cell_row.verified(wish, judged, options)
    state.put(wish, replace(cell, complete=not judged.measurable))
    if judged.work.outcome.reference:
        state.document = replace(state.document, reference=_reference(judged))
    return judged


def _measured(state: _State, wave: list[Bout], pace: Pace, listener: Listener) -> None:
    rows = {bout.wish.key: state.cells[bout.wish.key] for bout in wave}

    def save(*, complete: bool = False) -> None:
        for bout in wave:
            cell = cell_row.measured(rows[bout.wish.key], bout, pace.rounds, complete=complete)
            state.put(bout.wish, cell)
        state.save()

    turns = len(state.turns)

    def during() -> None:
        state.turns[turns:] = [each for bout in wave for each in bout.turns]
        if found := surroundings.clock():
            state.clocks.append(found)
        save()

    measure(wave, pace, listener, during)
    save(complete=True)


def _pace(wanted: Comparison, host: HostFacts) -> Pace:
    return Pace(
        rounds=wanted.rounds,
        seconds=wanted.seconds,
        cap=wanted.base.seconds,
        seed=wanted.base.seed,
        cores=int(host.value("cores") or 1),
        throughput=wanted.throughput,
    )


def _free(host: HostFacts) -> int:
    """The bytes that the workers of one wave may take together."""
    return int(SHARE * (surroundings.free_memory() or int(host.value("memory") or 8 << 30)))


def _waves(bouts: list[Bout], free: int) -> Iterator[list[Bout]]:
    """Cells that fit into memory together, by what each took when it was verified; at least one at a time."""
    wave: list[Bout] = []
    taken = 0
    for bout in bouts:
        need = bout.judged.work.outcome.results["infer"].peak_memory * bout.wish.colocate
        if wave and taken + need > free:
            yield wave
            wave, taken = [], 0
        wave.append(bout)
        taken += need
    if wave:
        yield wave


def _reference(judged: Judged) -> Reference:
    prepared = judged.work.outcome.reference
    assert prepared
    engine = prepared.plan.spec.engine
    return Reference(engine=engine, version=prepared.plan.stack.version(engine), lock=prepared.environment.lock.digest)


def _document(wanted: Comparison, facts: ModelFacts, host: HostFacts, runner: str) -> Document:
    matrix, base = wanted.matrix, wanted.base
    settings = Settings(
        rounds=wanted.rounds,
        seconds=wanted.seconds,
        seed=base.seed,
        samples=base.samples,
        batch=matrix.batches or (own_batch(facts, base.shapes),),
        threads=matrix.threads,
        precision=tuple(matrix.precisions),
        colocate=matrix.colocate,
    )
    return Document(
        kind=wanted.kind,
        envctl=__version__,
        command=wanted.command,
        model=_model(facts),
        host=_host(host, runner),
        settings=settings,
        noise=Noise(load_before=surroundings.load(), foreign_cpu=None, notes=("gpu: its other work is not looked at",)),
    )


def _model(facts: ModelFacts) -> Model:
    files = [inner for path in facts.files() for inner in ([path] if path.is_file() else path.rglob("*"))]
    inputs = tuple(TensorShape(name=it.name, dtype=it.dtype, shape=it.shape) for it in facts.inputs)
    size = sum(path.stat().st_size for path in files if path.is_file())
    return Model(path=str(facts.path), digest=facts.sha256, format=facts.format, bytes=size, inputs=inputs)


def _host(host: HostFacts, runner: str) -> Host:
    cores, memory = host.value("cores"), host.value("memory")
    return Host(
        cpu=host.value("cpu_model"),
        cores=int(cores) if cores else None,
        memory=int(memory) if memory else None,
        os=host.value("os"),
        kernel=host.value("kernel"),
        gpu=tuple((host.value("gpu") or "").split()),
        driver=host.value("driver"),
        governor=surroundings.governor(),
        runner=runner,
    )


def _go_on(state: _State, before: Document) -> None:
    """Take over the cells of an earlier document that are done; raises `BadInput` where it is of something else."""
    now = state.document
    for what, old, new in (
        ("model", before.model.digest, now.model.digest),
        ("host", before.host, now.host),
        ("number of rounds", before.settings.rounds, now.settings.rounds),
        ("seconds of a round", before.settings.seconds, now.settings.seconds),
        ("seed", before.settings.seed, now.settings.seed),
        ("samples", before.settings.samples, now.settings.samples),
    ):
        if old != new:
            because = [Reason(text=f"{old}", source=str(state.wanted.resume)), Reason(text=f"{new}", source="now")]
            raise BadInput(f"--resume: the {what} is another one", because=because, do=["begin anew, without --resume"])
    kept = {key_of(cell): cell for cell in before.cells if cell.complete and cell.status not in AGAIN}
    state.cells = {key: cell for key, cell in kept.items() if key in state.order}
    state.document = replace(now, reference=before.reference, noise=_both(before.noise, now.noise))


def _both(before: Noise, now: Noise) -> Noise:
    """The noise of cells that were measured before stays told."""
    if before.foreign_cpu is None:
        return now
    told = f"cells taken over from an earlier run: other work took {before.foreign_cpu:.1%} of the CPUs there"
    return replace(now, notes=(*now.notes, told, *(note for note in before.notes if note not in now.notes)))


def _unlike(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """The cells, with a number behind the id where two requests led to the same version."""
    seen: dict[str, int] = {}
    told = []
    for cell in cells:
        seen[cell.id] = seen.get(cell.id, 0) + 1
        told.append(cell if seen[cell.id] == 1 else replace(cell, id=f"{cell.id}-{seen[cell.id]}"))
    return tuple(told)


@contextmanager
def _folder(state: _State, keep: bool) -> Iterator[Path]:
    """A folder for all jobs: what failed stays in it, the rest goes."""
    jobs = cache_root() / "jobs"
    with disk_errors(jobs):
        jobs.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="compare-", dir=jobs))
        folder.chmod(0o755)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if not keep:
        failed = {key for key, cell in state.cells.items() if cell.status in AGAIN}
        for number, key in enumerate(state.order):
            if key not in failed:
                shutil.rmtree(folder / f"cell-{number}", ignore_errors=True)
        if not failed:
            shutil.rmtree(folder, ignore_errors=True)


EXIT: dict[str, int] = {"failed": 1, "error": 5, "timeout": 5, "killed": 5}


def exit_code(document: Document) -> int:
    """0 when something passed and nothing else came of the rest than refusals; 1 a verdict failed; 5 a cell died; 4
    when every cell was refused."""
    codes = {EXIT.get(cell.status, 0) for cell in document.cells}
    passed = any(cell.status == "passed" for cell in document.cells)
    return max(codes, default=0) or (0 if passed else 4)
