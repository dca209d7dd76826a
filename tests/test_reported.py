"""The options that show a comparison: what each prints and writes, and the code that --against ends with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envctl.bench.document import Document
from envctl.bench.reading import as_data, load
from envctl.cli import reported
from envctl.cli.screen import Screen
from envctl.errors import BadInput
from envctl.page import html
from envctl.page.rows import SORTS
from envctl.tree import canonical_json
from tests.conftest import run_envctl
from tests.page_document import document

PLAIN: dict[str, Any] = {
    "sort": "latency",
    "as_json": False,
    "csv": False,
    "markdown": False,
    "html": None,
    "against": None,
}


def show(given: Document, **options: Any) -> int:
    """Show a document with those options; what `show` says of the exit code."""
    return reported.show(given, reported.wanted(PLAIN | options), Screen(bool(options.get("as_json"))))


def slower(given: Document) -> Document:
    """The document with every round of its first cell half as long again."""
    first = given.cells[0]
    assert first.latency
    rounds = tuple(each * 1.5 for each in first.latency.rounds)
    latency = replace(first.latency, rounds=rounds, median=first.latency.median * 1.5)
    return replace(given, cells=(replace(first, latency=latency), *given.cells[1:]))


def saved(given: Document, path: Path) -> Path:
    """The document as a file."""
    path.write_text(canonical_json(as_data(given)), encoding="utf-8")
    return path


def test_the_program_knows_every_order_that_there_is() -> None:
    assert reported.SORTS == SORTS


def test_a_table_is_printed_and_a_page_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert show(document(), html=tmp_path / "page.html", sort="memory") == 0
    printed = capsys.readouterr().out
    assert "memory ↓" in printed
    assert "wrote" in printed
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == html(document())


@pytest.mark.parametrize(("form", "first"), [("csv", "id,engine,version"), ("markdown", "### model.onnx on")])
def test_other_forms_are_all_that_is_printed(capsys: pytest.CaptureFixture[str], form: str, first: str) -> None:
    assert show(document(), **{form: True}) == 0
    assert capsys.readouterr().out.startswith(first)


def test_against_an_equal_one_ends_with_0_and_against_a_faster_one_with_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    old = saved(document(), tmp_path / "old.json")
    assert show(load(old), against=old) == 0
    assert "the same within their noise" in capsys.readouterr().out
    assert show(slower(document()), against=old) == 1
    assert "worse" in capsys.readouterr().out
    assert show(slower(document()), against=old, as_json=True) == 1
    changes = json.loads(capsys.readouterr().out)["against"]["changes"]
    worse = [(each["cell"], each["figure"]) for each in changes if each["finding"] == "worse"]
    assert ("openvino-2026.4.1-fp32-b1-t1", "latency") in worse
    assert {cell for cell, _ in worse} == {"openvino-2026.4.1-fp32-b1-t1"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sort": "beauty"}, "--sort 'beauty' is unknown"),
        ({"csv": True, "markdown": True}, "one form can be printed at a time"),
        ({"html": Path("/")}, "is a folder"),
        ({"against": Path(__file__)}, "is not a comparison"),
        ({"against": Path("nowhere.json")}, "is not a comparison"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_measured(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        reported.wanted(PLAIN | options)


@pytest.mark.slow
@pytest.mark.engines
def test_a_real_comparison_is_shown_and_compared_with_itself(digits: Path, tmp_path: Path) -> None:
    engines = ("--ort", "1.31", "--openvino", "2026.4", "--ncnn", "--threads", "1", "--runner", "local")
    quick = ("--rounds", "3", "--seconds", "0.1", "--no-throughput")
    first = run_envctl("compare", digits, *engines, *quick, "-o", "old.json", cwd=tmp_path)
    assert first.code == 0, first.err
    again = ("--resume", "old.json", "-o", "new.json", "--against", "old.json", "--html", "page.html")
    second = run_envctl("compare", digits, *engines, *quick, *again, cwd=tmp_path)
    assert second.code == 0, second.err
    assert "worse" not in second.out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page == html(load(tmp_path / "new.json"))
    assert page.count('<details class="cell"') == 3
