"""What a comparison looks like on the terminal, as CSV, as Markdown and as a page: functions of its document alone."""

from __future__ import annotations

import csv as reader
import io
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from envctl.bench.document import Document
from envctl.bench.reading import load
from envctl.page import csv, front, heat, html, markdown, table
from envctl.page.figures import BY_KEY, aligned, best, seconds
from envctl.page.labels import place
from envctl.page.rows import SORTS, Sort, ordered, rows
from tests.page_document import document

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "compare.json"
EVIL = "<script>alert(1)</script>|`x`\x1b[31m\u202e.onnx"


def printed(given: Document, sort: Sort = "latency", width: int = 100) -> list[str]:
    """The table's lines as a terminal of that width shows them."""
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table(given, sort))
    return stream.getvalue().splitlines()


def figures(lines: list[str]) -> list[str]:
    """The lines of the cells."""
    return [line for line in lines if re.match(r" *\d+  [✓✗!] ", line)]


@pytest.mark.parametrize("given", [document(), load(GOLDEN)], ids=["sample", "golden"])
def test_the_table_fits_100_columns_with_a_line_for_every_cell(given: Document) -> None:
    lines = printed(given, width=140)
    shown = figures(lines)
    assert len(shown) == len(given.cells)
    assert max(map(len, shown)) <= 100
    assert not any("…" in line for line in lines), "nothing is cut off"


@pytest.mark.parametrize("sort", SORTS)
def test_sorting_puts_what_passed_first_and_the_best_of_it_on_top(sort: Sort) -> None:
    found = ordered(rows(document()), sort)
    passed = [getattr(row, sort) for row in found if row.passed]
    assert passed == sorted(passed, reverse=sort == "throughput")
    ranks = [0 if row.passed else 1 if row.latency is not None else 2 for row in found]
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2}


def test_the_best_is_marked_only_among_cells_that_passed_and_did_the_same_work() -> None:
    found = rows(document())
    assert best(found, BY_KEY["latency"]) == {5, 9}, "the int8 cell 3 is faster and wrong; batch 8 is its own group"
    assert best(found, BY_KEY["throughput"]) == {5, 9}
    assert best(found[8:], BY_KEY["size"]) == frozenset(), "all alike: nobody is the best"
    line = next(line for line in figures(printed(document())) if "ONNX Runtime 1.31.0 int8" in line)
    assert "*1.221" in line


def test_unstable_cells_and_reasons_of_failed_ones_are_told() -> None:
    lines = printed(document())
    assert "~5.216" in next(line for line in figures(lines) if "LiteRT 2.1.0" in line)
    text = "\n".join(lines)
    for told in ("12 killed: the worker died in round 3", "signal 11 (SIGSEGV)  (worker)", "hint: read worker.log"):
        assert told in text
    assert "~ unstable: its rounds still differed by more than 5%" in text


def test_a_column_is_aligned_at_the_point_with_three_digits_for_its_least() -> None:
    assert aligned([0.00123, 12.3, None]) == ["0.0012", "12.3000", "–"]
    assert aligned([12.345, 1234.5]) == ["12.3", "1234.5"]
    assert [seconds(value) for value in (2.5, 0.0123, 71e-6)] == ["2.50 s", "12.3 ms", "71.0 µs"]


def test_csv_gives_every_figure_back_exactly() -> None:
    given = document()
    lines = list(reader.DictReader(io.StringIO(csv(given))))
    assert [line["id"] for line in lines] == [cell.id for cell in given.cells]
    for line, cell in zip(lines, given.cells, strict=True):
        assert line["status"] == cell.status
        assert (float(line["latency_s"]) if line["latency_s"] else None) == (cell.latency and cell.latency.median)
        assert (int(line["peak_bytes"]) if line["peak_bytes"] else None) == (cell.memory and cell.memory.peak)


def test_csv_has_no_formula_for_a_spreadsheet() -> None:
    given = document()
    cell = replace(given.cells[0], command='=HYPERLINK("x")')
    line = next(reader.DictReader(io.StringIO(csv(replace(given, cells=(cell,))))))
    assert line["command"].startswith("'=")


def test_markdown_has_one_line_a_cell_and_escapes_names() -> None:
    given = document()
    text = markdown(replace(given, model=replace(given.model, path=EVIL)))
    assert sum(line.startswith("| ✓") for line in text.splitlines()) == 9
    assert "<script>" not in text and "\x1b" not in text and "\\|\\`x\\`" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


class Tags(HTMLParser):
    """Counts elements, and notes every attribute that a browser would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.loads: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "action", "data", "poster") or name.startswith("on"):
                self.loads.append((tag, name, value or ""))
            if tag == "link" and name == "href":
                self.loads.append((tag, name, value or ""))


def read_page(text: str) -> Tags:
    """The page's elements."""
    tags = Tags()
    tags.feed(text)
    return tags


def test_the_page_loads_nothing_and_has_its_own_script_only() -> None:
    tags = read_page(html(document()))
    assert tags.loads == [("link", "href", "data:,")]
    assert tags.seen.count("script") == 1
    assert tags.seen.count("style") == 1


def hostile() -> Document:
    """The sample with markup, escapes and other schemes wherever a document has text of somebody else's."""
    given = document()
    cell = given.cells[2]
    assert cell.reason
    evil = replace(
        cell,
        title=EVIL,
        command=EVIL,
        stack=(replace(cell.stack[0], component=EVIL, source="javascript:alert(1)"),),
        reason=replace(cell.reason, what=EVIL),
    )
    return replace(
        given,
        model=replace(given.model, path=EVIL),
        command=EVIL,
        host=replace(given.host, cpu='"><img src=x onerror=alert(1)>'),
        cells=(*given.cells[:2], evil, *given.cells[3:]),
    )


def test_whatever_the_document_says_is_text_on_the_page() -> None:
    text = html(hostile())
    tags = read_page(text)
    assert tags.loads == [("link", "href", "data:,")]
    assert tags.seen.count("script") == 1
    assert "\x1b" not in text and "\u202e" not in text
    assert 'href="javascript' not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_page_is_the_same_bytes_in_every_process() -> None:
    code = "import sys; from tests.page_document import document; from envctl.page import html; print(html(document()))"
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.run(
            command, capture_output=True, check=True, env={"PYTHONHASHSEED": seed, "LC_ALL": "C.UTF-8"}
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(runs[0]) > 50_000


@pytest.mark.parametrize("count", [0, 1])
def test_a_document_with_next_to_nothing_in_it_still_makes_every_form(count: int) -> None:
    given = document()
    given = replace(given, cells=given.cells[10 : 10 + count])
    assert "No cell passed" in html(given)
    assert len(figures(printed(given))) == count
    assert csv(given).count("\n") == count + 1
    assert "| engine |" in markdown(given)


def test_the_front_keeps_what_nothing_beats() -> None:
    points = [(1.0, 5.0), (2.0, 5.0), (2.0, 3.0), (3.0, 4.0), (4.0, 0.0), (1.0, 6.0)]
    assert front.front(points) == [(1.0, 5.0), (2.0, 3.0), (4.0, 0.0)]
    assert front.stairs([(10, 20), (30, 60)], 0, 100) == [
        (10, 0, 10, 20), (10, 20, 30, 20), (30, 20, 30, 60), (30, 60, 100, 60)
    ]  # fmt: skip


def test_labels_cover_neither_points_nor_each_other() -> None:
    crowd = [(50.0 + 0.5 * index, 50.0, (f"a long name {index}", str(index))) for index in range(30)]
    labels = place(crowd, [], 700, 400)
    placed = [(x, label) for (x, _, _), label in zip(crowd, labels, strict=True) if label.text]
    assert 2 <= len(placed) < 30
    assert any(label.text.isdigit() for _, label in placed), "a number where there is no room for a name"
    spots = {(label.dx, label.dy, label.anchor, x) for x, label in placed}
    assert len(spots) == len(placed)


def test_a_map_of_errors_joins_blocks_and_keeps_the_largest() -> None:
    grid = [[0.0] * 500 for _ in range(300)]
    grid[299][499] = 3.0
    grid[10][20] = float("inf")
    small = heat.pooled(grid)
    assert len(small) <= heat.MOST_ROWS and len(small[0]) <= heat.MOST_COLS
    assert small[-1][-1] == 3.0
    assert sum(value == float("inf") for line in small for value in line) == 1
