"""`envctl compare` and `bench`: every cell verified first, then all measured in rounds; saved as it comes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from envctl import host as host_module
from envctl.bench import reading
from envctl.bench.document import Document
from envctl.errors import BadInput, EnvctlError
from envctl.host import HostFacts
from envctl.model import ModelFacts
from envctl.workflow import cell_row, deliver, surroundings
from envctl.workflow.ask import Listener
from envctl.workflow.bout import Bout
from envctl.workflow.cells import Wish, batched, wishes
from envctl.workflow.comparison import AGAIN, Comparison, State, go_on
from envctl.workflow.document_head import begun, reference
from envctl.workflow.job_folder import job_folder
from envctl.workflow.judged import Judged, Muted, judge, trouble
from envctl.workflow.plan import choose_runner
from envctl.workflow.rounds import Pace, measure
from envctl.workflow.source import read_source

SHARE = 0.6  # of the free memory, which the cells of one wave may take together


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
    state = State(wanted=wanted, document=begun(wanted, facts, host, runner.name), order=tuple(w.key for w in found))
    if before:
        go_on(state, before)
    left = [wish for wish in found if wish.key not in state.cells]
    with job_folder("compare", keep=wanted.base.keep) as made:
        _all(state, left, facts, host, made.path, listener)
        made.keep = made.keep or _kept(state, made.path)
    listener.say("")
    state.save()
    return state.whole()


def _check_output(path: Path) -> None:
    """Raise before anything is measured when it could not be kept."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder", do=["name the file for the figures: -o FILE.json"])
    deliver.check_writable(path.parent)


def _all(state: State, left: list[Wish], facts: ModelFacts, host: HostFacts, folder: Path, listener: Listener) -> None:
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
    state: State, wish: Wish, facts: ModelFacts, host: HostFacts, folder: Path, listener: Muted
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
        state.document = replace(state.document, reference=reference(judged.work.outcome.reference))
    return judged


def _measured(state: State, wave: list[Bout], pace: Pace, listener: Listener) -> None:
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


def _kept(state: State, folder: Path) -> bool:
    """Whether a cell failed, whose jobs are kept; those of the others go."""
    failed = {key for key, cell in state.cells.items() if cell.status in AGAIN}
    for number, key in enumerate(state.order):
        if key not in failed:
            shutil.rmtree(folder / f"cell-{number}", ignore_errors=True)
    return bool(failed)
