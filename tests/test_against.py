"""A comparison beside an older one: what counts as worse, and what noise may do without being called that."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
from rich.console import Console

from envctl.bench.against import Against, Change, against
from envctl.bench.document import Cell, Document
from envctl.bench.welch import CRITICAL, critical, ratio
from envctl.page import changes
from tests.page_document import document

FIRST = "openvino-2026.4.1-fp32-b1-t1"


def with_rounds(given: Document, rounds: Sequence[float], **changes: Any) -> Document:
    """The document with those medians of rounds in its first cell."""
    cell = given.cells[0]
    assert cell.latency
    latency = replace(cell.latency, rounds=tuple(rounds), steady=len(rounds), median=median(rounds))
    return with_cell(given, replace(cell, latency=replace(latency, **changes)))


def with_cell(given: Document, cell: Cell) -> Document:
    """The document with another first cell, and only that."""
    return replace(given, cells=(cell,))


def found(result: Against, figure: str) -> Change:
    """The change of a figure."""
    return next(change for change in result.changes if change.figure == figure)


def drawn(seed: int, centre: float, spread: float, count: int = 5) -> list[float]:
    """Medians of rounds around a centre."""
    draw = random.Random(seed)
    return [centre * (1 + draw.gauss(0, spread)) for _ in range(count)]


def test_a_document_beside_itself_changes_nothing() -> None:
    result = against(document(), document())
    assert {change.finding for change in result.changes} == {"same"}
    assert not result.regressed
    assert not result.notes


def test_a_slowdown_beyond_its_noise_is_worse_and_a_speedup_better() -> None:
    old = with_rounds(document(), drawn(1, 1.0e-3, 0.01))
    slow, fast = (with_rounds(document(), drawn(2, 1.0e-3 * by, 0.01)) for by in (1.15, 0.85))
    assert found(against(old, slow), "latency").finding == "worse"
    assert against(old, slow).regressed
    assert found(against(old, fast), "latency").finding == "better"
    assert not against(old, fast).regressed


def test_a_difference_as_large_as_its_noise_is_unclear_and_one_too_small_the_same() -> None:
    old = with_rounds(document(), drawn(1, 1.0e-3, 0.06))
    new = with_rounds(document(), [each * 1.08 for each in drawn(2, 1.0e-3, 0.06)])
    assert found(against(old, new), "latency").finding == "unclear"
    assert not against(old, new).regressed
    sure = with_rounds(document(), [1.00e-3, 1.001e-3, 0.999e-3])
    little = with_rounds(document(), [1.04e-3, 1.041e-3, 1.039e-3])
    assert found(against(sure, little), "latency").finding == "same", "sure, and not worth telling"


def test_unstable_rounds_and_a_busy_machine_make_it_unclear() -> None:
    old = with_rounds(document(), drawn(1, 1.0e-3, 0.01))
    slow = with_rounds(document(), drawn(2, 1.5e-3, 0.01))
    shaky = with_rounds(document(), drawn(2, 1.5e-3, 0.01), stable=False)
    assert found(against(old, shaky), "latency").finding == "unclear"
    busy = replace(slow, noise=replace(slow.noise, foreign_cpu=0.4))
    result = against(old, busy)
    assert found(result, "latency").finding == "unclear"
    assert any("40%" in note for note in result.notes)
    single = against(with_rounds(document(), [1e-3]), with_rounds(document(), [2e-3]))
    assert found(single, "latency").finding == "unclear"


def called(seed: int, by: float, spread: float) -> str:
    """What is said of five rounds beside five others that take `by` as long."""
    base = document()
    old, new = (
        with_rounds(base, drawn(2 * seed, 1e-3, spread)),
        with_rounds(base, drawn(2 * seed + 1, by * 1e-3, spread)),
    )
    return found(against(old, new), "latency").finding


def test_equal_engines_are_called_slower_less_than_once_in_a_hundred() -> None:
    wrong = sum(called(seed, 1.0, 0.05) == "worse" for seed in range(1000))
    assert wrong <= 10, "the interval leaves half a hundredth on either side"


def test_a_real_slowdown_of_a_fifth_is_found_with_five_rounds() -> None:
    right = sum(called(seed, 1.2, 0.02) == "worse" for seed in range(200))
    assert right >= 198


def test_more_memory_counts_from_a_tenth_and_eight_mebibytes_on() -> None:
    old = with_cell(document(), document().cells[0])
    cell = old.cells[0]
    assert cell.memory and cell.memory.peak

    def grown(by: int, of: int) -> str:
        before = replace(cell, memory=replace(cell.memory, peak=of))
        after = replace(cell, memory=replace(cell.memory, peak=of + by))
        return found(against(with_cell(old, before), with_cell(old, after)), "memory").finding

    assert grown(30 << 20, 200 << 20) == "worse"
    assert grown(-30 << 20, 200 << 20) == "better"
    assert grown(10 << 20, 200 << 20) == "same", "less than a tenth"
    assert grown(5 << 20, 20 << 20) == "same", "less than an allocator's whim"


def test_accuracy_counts_when_it_doubles_and_can_be_told_from_rounding() -> None:
    old = with_cell(document(), document().cells[0])
    verdict = old.cells[0].verdict
    assert verdict

    def erred(before: float, after: float) -> str:
        def made(error: float) -> Document:
            output = replace(verdict.outputs[0], max_abs=error, scale=1.0)
            return with_cell(old, replace(old.cells[0], verdict=replace(verdict, outputs=(output,))))

        return found(against(made(before), made(after)), "error").finding

    assert erred(1e-5, 5e-5) == "worse"
    assert erred(5e-5, 1e-5) == "better"
    assert erred(1e-7, 4e-7) == "same", "both are far below a tenth of the limit"
    assert erred(5e-5, 9e-5) == "same", "not twice as large"
    assert erred(1e-5, float("inf")) == "worse"


def test_what_passed_and_passes_no_more_is_worse_whatever_its_figures() -> None:
    base = document()
    failed = replace(base, cells=(replace(base.cells[2], id=FIRST),))
    result = against(base, failed)
    assert result.regressed
    assert found(result, "status").why.startswith("passed then, failed now: output: worst cosine")
    assert found(against(failed, base), "status").finding == "better"
    assert not against(failed, failed).changes


def test_another_machine_is_told_and_only_accuracy_is_compared() -> None:
    old = with_rounds(document(), drawn(1, 1.0e-3, 0.01))
    slow = with_rounds(document(), drawn(2, 2.0e-3, 0.01))
    result = against(old, replace(slow, host=replace(slow.host, cpu="another")))
    assert {change.figure for change in result.changes} == {"error", "1 - cosine", "top-1"}
    assert any("speed and memory are not compared" in note for note in result.notes)


def test_cells_that_only_one_side_has_are_named() -> None:
    base = document()
    result = against(replace(base, cells=base.cells[:2]), replace(base, cells=base.cells[1:3]))
    assert [note.partition(":")[0] for note in result.notes] == ["not measured now", "not in the older one"]


@pytest.mark.parametrize(("degrees", "value"), [*CRITICAL, (3.7, 5.841), (0.4, 63.657), (1000, 2.617)])
def test_the_critical_value_is_never_too_small(degrees: float, value: float) -> None:
    assert critical(degrees) == value


def test_the_table_is_students() -> None:
    stats = pytest.importorskip("scipy.stats")
    for degrees, value in CRITICAL:
        assert value == pytest.approx(stats.t.ppf(0.995, degrees), abs=6e-4)


def test_the_interval_is_welchs() -> None:
    stats = pytest.importorskip("scipy.stats")
    numpy = pytest.importorskip("numpy")
    old, new = drawn(3, 1.0, 0.03, 9), drawn(4, 1.1, 0.05, 9)
    result = stats.ttest_ind(numpy.log(new), numpy.log(old), equal_var=False).confidence_interval(0.99)
    mine = ratio(old, new)
    assert numpy.log(mine.low) <= result.low + 1e-9 and numpy.log(mine.high) >= result.high - 1e-9
    assert numpy.log(mine.low) == pytest.approx(result.low, rel=0.2, abs=0.01)


def test_changes_are_told_the_worse_first() -> None:
    old = with_rounds(document(), drawn(1, 1.0e-3, 0.01))
    slow = with_rounds(document(), drawn(2, 1.5e-3, 0.01))
    stream = io.StringIO()
    Console(file=stream, width=100, color_system=None).print(changes(against(old, slow)))
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert lines[2].split() == ["worse", FIRST]
    assert lines[3].strip().startswith("latency 1.00 ms to 1.51 ms (+50.6%); 99 % between")
    assert "figures are the same within their noise" in stream.getvalue()
