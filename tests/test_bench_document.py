"""The document of a comparison: to JSON and back, and what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from envctl.bench import reading
from envctl.errors import BadInput
from envctl.tree import canonical_json
from tests.comparison import GOLDEN, sample


def test_the_golden_document_is_what_the_types_write() -> None:
    assert GOLDEN.read_text(encoding="utf-8") == canonical_json(reading.as_data(sample()))


def test_a_document_read_is_the_document_written() -> None:
    assert reading.load(GOLDEN) == sample()


def test_unknown_names_are_left_out() -> None:
    data = json.loads(GOLDEN.read_text(encoding="utf-8"))
    data["cells"][0]["colour"] = "blue"
    data["later"] = {"x": 1}
    assert reading.from_data(data) == sample()


def _change(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *way, last = path.split(".")
    place: Any = data
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("format", 2, "format 2"),
        ("cells.0.status", "fine", "document.cells[0].status is 'fine'"),
        ("cells.0.latency.median", "fast", "cells[0].latency.median"),
        ("cells.0.batch", 1.5, "cells[0].batch"),
        ("cells.0.batch", True, "cells[0].batch"),
        ("cells", {}, "document.cells is no list"),
        ("model", None, "document.model is no object"),
        ("noise.frequency", [1.0], "noise.frequency has 1 entries"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, path: str, value: Any, said: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps(_change(json.loads(GOLDEN.read_text(encoding="utf-8")), path, value)), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        reading.load(file)
    assert said in caught.value.because[0].text


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    data = json.loads(GOLDEN.read_text(encoding="utf-8"))
    del data["cells"][0]["latency"]["cv"]
    (tmp_path / "cut.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        reading.load(tmp_path / "cut.json")
    assert "'cv'" in caught.value.because[0].text


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"format": 1}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "no.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput):
        reading.load(tmp_path / "no.json")
    with pytest.raises(BadInput):
        reading.load(tmp_path / "missing.json")
