"""A comparison while it goes on: what was asked for, and the document of what is known so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from envctl.bench import noise, reading
from envctl.bench.document import Cell, Document, Kind, Noise
from envctl.errors import BadInput, Reason
from envctl.tree import canonical_json, write_whole
from envctl.workflow.ask import Ask
from envctl.workflow.cells import Matrix, Wish, key_of

AGAIN = ("error", "timeout", "killed")
EXIT: dict[str, int] = {"failed": 1, "error": 5, "timeout": 5, "killed": 5}


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
class State:
    """A comparison while it goes on."""

    wanted: Comparison
    document: Document
    cells: dict[tuple[object, ...], Cell] = field(default_factory=dict)
    order: tuple[tuple[object, ...], ...] = ()
    turns: list[noise.Turn] = field(default_factory=list)
    clocks: list[tuple[float, float]] = field(default_factory=list)

    def put(self, wish: Wish, cell: Cell) -> None:
        """Note what is known of a cell now."""
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
        """Write the document, where that was asked for."""
        if self.wanted.output:
            write_whole(self.wanted.output, canonical_json(reading.as_data(self.whole())))


def go_on(state: State, before: Document) -> None:
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


def exit_code(document: Document) -> int:
    """0 when something passed and nothing else came of the rest than refusals; 1 a verdict failed; 5 a cell died; 4
    when every cell was refused."""
    codes = {EXIT.get(cell.status, 0) for cell in document.cells}
    passed = any(cell.status == "passed" for cell in document.cells)
    return max(codes, default=0) or (0 if passed else 4)
