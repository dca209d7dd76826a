"""`envctl debug --html`: the page of a search that really found something, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By

from envctl.page import Growth, growth_html
from tests import debug_nets
from tests.conftest import Ran
from tests.test_page_browser import pytestmark, shown, started

__all__ = ["pytestmark", "started"]
Program = Callable[..., Ran]
LONG = "block_{}/<i>long</i>/" + "x" * 60
TOLD = Growth(
    title="<script>alert(1)</script>.onnx", said="FOUND", facts=(("node", "<b>Pad</b>"),),
    points=tuple((LONG.format(number), "Conv", 1e-7 if number < 20 else 0.5) for number in range(40)),
    first=LONG.format(20),
)  # fmt: skip


def test_the_page_shows_where_a_real_engine_parts(envctl: Program, started: webdriver.Chrome, tmp_path: Path) -> None:
    source = debug_nets.ceiling(tmp_path / "net.onnx")
    pins = ("--ort", "1.17", "--runner", "local", "--versions", "none")
    ran = envctl("debug", source, *pins, "--html", "debug.html", "--json")
    assert ran.code == 1, ran.err
    browser = shown(started, (tmp_path / "debug.html").as_uri(), 1200, "light")
    rows = [row.text.split() for row in browser.find_elements(By.CSS_SELECTOR, ".tensors tbody tr")]
    assert [row[1] for row in rows] == [each["op"] for each in ran.json["growth"]]
    (parts,) = browser.find_elements(By.CSS_SELECTOR, ".tensors .guilty")
    assert "AveragePool" in parts.text and "parts here" in parts.text
    assert len(browser.find_elements(By.CSS_SELECTOR, ".growth .dot")) == len(rows)


def test_it_fits_a_phone_and_takes_nothing_for_markup(started: webdriver.Chrome, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(growth_html(TOLD), encoding="utf-8")
    for width, scheme in ((1200, "light"), (375, "dark")):
        browser = shown(started, path.as_uri(), width, scheme)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.find_element(By.TAG_NAME, "h1").text == TOLD.title
    assert not browser.find_elements(By.CSS_SELECTOR, "script, b, i")
    log: list[dict[str, str]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    assert not [entry for entry in log if entry["level"] == "SEVERE"], log


def test_the_same_search_gives_the_same_bytes() -> None:
    assert growth_html(TOLD) == growth_html(TOLD)


def test_what_is_told_of_layers_is_json() -> None:
    from envctl.cli.debug_result import as_data
    from envctl.workflow.debug import Diagnosis
    from envctl.workflow.debug_layers import Mixed, Trial
    from envctl.workflow.outcome import Outcome

    trials = (Trial(kept=(), passed=False, error=float("inf")), Trial(kept=("a",), passed=True, error=1e-3))
    mixed = Mixed(kept=("a",), trials=trials, candidates=2, minimal=True, written=Path("mixed.onnx"))
    told = as_data(Diagnosis(outcome=Outcome(task="verify"), mixed=mixed))["layers"]
    assert json.loads(json.dumps(told, allow_nan=False))["written"] == "mixed.onnx"
    assert [trial["error"] for trial in told["trials"]] == [None, 1e-3]
