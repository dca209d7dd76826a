"""The page in a real headless browser: Debian's chromium, driven by selenium over its own driver."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from envctl.page import html
from tests.page_document import document

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and "CI" not in os.environ, reason="no chromium with its driver here"
)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample's page as a file; its address."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(html(document()), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def started() -> Iterator[webdriver.Chrome]:
    """A browser that keeps a log of its console and of what it asks the network for."""
    assert CHROMIUM and DRIVER, "CI needs chromium and chromium-driver: .ci/run installs them"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture
def browser(started: webdriver.Chrome, page: str) -> webdriver.Chrome:
    """The page, fresh, on a wide and light screen."""
    return shown(started, page, 1200, "light")


def shown(browser: webdriver.Chrome, page: str, width: int, scheme: str) -> webdriver.Chrome:
    """The page on a screen of that width in that colour scheme."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"media": "", "features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(page)
    return browser


def one(browser: webdriver.Chrome, query: str) -> Any:
    """The first element that a CSS query finds."""
    return browser.find_element(By.CSS_SELECTOR, query)


def order(browser: webdriver.Chrome) -> list[int]:
    """The cells' numbers in the order of the table."""
    return [int(row.get_attribute("data-cell")) for row in browser.find_elements(By.CSS_SELECTOR, "#cells tbody tr")]


def test_nothing_is_asked_of_the_network_and_the_console_stays_empty(browser: webdriver.Chrome, page: str) -> None:
    one(browser, '.mark[data-cell="5"]').click()
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert page in asked, "the log is on"
    assert [url for url in asked if url != page and not url.startswith("data:")] == []
    assert browser.get_log("browser") == []


def test_a_point_is_clicked_and_its_figures_are_read(browser: webdriver.Chrome) -> None:
    one(browser, '.mark[data-cell="5"]').click()
    said = one(browser, ".readout").text
    assert said.startswith("ONNX Runtime 1.31.0 int8 b1: latency 1.221 ms, p99 1.69 ms, throughput 1480 /s")
    chosen = browser.find_elements(By.CSS_SELECTOR, ".selected")
    assert {node.get_attribute("data-cell") for node in chosen} == {"5"}
    assert {"g", "tr", "li"} <= {node.tag_name for node in chosen}, "in the drawing, the table and the bars"
    one(browser, ".readout a").click()
    assert one(browser, "#cell-5").get_attribute("open") is not None
    assert "--onnxruntime 1.31.0 --precision int8" in one(browser, "#cell-5 .command code").text


def test_points_answer_to_the_keyboard(browser: webdriver.Chrome) -> None:
    mark = one(browser, '.mark[data-cell="3"]')
    browser.execute_script("arguments[0].focus()", mark)
    mark.send_keys(Keys.ENTER)
    assert one(browser, ".readout").text.startswith("OpenVINO 2026.4.1 int8")
    assert "failed" in mark.get_attribute("aria-label")


def test_the_table_is_sorted_by_its_headings(browser: webdriver.Chrome) -> None:
    assert order(browser)[:2] == [5, 1]
    one(browser, '[data-key="memory"] button').click()
    assert order(browser)[:3] == [6, 7, 5]
    assert one(browser, '[data-key="memory"]').get_attribute("aria-sort") == "ascending"
    one(browser, '[data-key="throughput"] button').click()
    assert order(browser)[0] == 5, "more is better: the most comes first"
    assert order(browser)[9] == 3, "wrong answers come after all that passed, whatever their figures"
    one(browser, '[data-key="throughput"] button').click()
    assert order(browser)[0] == 8
    assert sorted(order(browser)) == list(range(1, 15))
    assert [node.get_attribute("data-key") for node in browser.find_elements(By.CSS_SELECTOR, "[aria-sort]")] == [
        "throughput"
    ]


def test_details_open_and_copy_gives_the_command(browser: webdriver.Chrome) -> None:
    one(browser, "#cell-11 summary").click()
    assert "MXNet" in one(browser, "#cell-11").text
    assert "lock" in one(browser, "#cell-11 .lock").text
    one(browser, "#cell-11 .copy").click()
    WebDriverWait(browser, 10).until(lambda it: one(it, "#cell-11 .copy").text in ("Copied", "Selected"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 768, 1200])
def test_nothing_overflows_and_text_can_be_read(started: webdriver.Chrome, page: str, width: int, scheme: str) -> None:
    browser = shown(started, page, width, scheme)
    browser.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    faint = browser.execute_script(CONTRAST)
    assert faint == [], "text against its ground: 4.5 at least (WCAG 2.2, 1.4.3)"


# the contrast of every text with the first solid ground behind it
CONTRAST = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (!colour.startsWith("rgba(0, 0, 0, 0")) return colour;
  }
  return "rgb(255, 255, 255)";
};
const faint = [];
for (const node of document.querySelectorAll("body *")) {
  if (!node.checkVisibility() || ![...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim())) continue;
  if (["STYLE", "SCRIPT", "title"].includes(node.tagName)) continue;
  const style = getComputedStyle(node);
  const [a, b] = [light(node.namespaceURI.endsWith("svg") ? style.fill : style.color), light(ground(node))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) faint.push(`${node.tagName} ${node.className} ${node.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
}
return faint;
"""


def test_dark_and_light_differ_and_print_is_light(started: webdriver.Chrome, page: str) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    grounds = [shown(started, page, 1200, scheme).execute_script(paper) for scheme in ("light", "dark")]
    assert grounds == ["rgb(255, 255, 255)", "rgb(18, 21, 26)"]
    media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    started.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    assert started.execute_script(paper) == "rgb(255, 255, 255)"
    assert started.execute_script("return getComputedStyle(document.querySelector('.copy')).display") == "none"


def test_the_page_prints_with_every_cell_opened(browser: webdriver.Chrome) -> None:
    printed = browser.print_page()
    assert len(printed) > 20_000
    assert all(node.get_attribute("open") is not None for node in browser.find_elements(By.TAG_NAME, "details"))


def test_every_drawing_has_a_name_and_every_shape_its_own_form(browser: webdriver.Chrome) -> None:
    nameless = browser.execute_script(
        "return [...document.querySelectorAll('svg[role], .mark')].filter((n) => !n.getAttribute('aria-label')).length"
    )
    assert nameless == 0
    used = browser.execute_script(
        "return [...document.querySelectorAll('.legend li')].map((n) => [n.textContent.trim(),"
        " n.querySelector('use')?.getAttribute('href')]).filter((pair) => pair[1])"
    )
    forms = [form for _, form in used]
    assert len(forms) == len(set(forms)) >= 7, "engines can be told apart without colours"
    assert one(browser, '.mark[data-cell="3"] .wrong') is not None


def test_the_map_of_errors_has_its_worst_place_and_a_table_beside_it(browser: webdriver.Chrome) -> None:
    drawn = one(browser, ".heat .map")
    assert drawn.get_attribute("aria-label") == "Errors of output: the largest, 2.1e-1, in row 5, column 18"
    first = browser.find_elements(By.CSS_SELECTOR, ".heat tbody tr:first-child td")
    assert [cell.text for cell in first] == ["5", "18", "2.1e-1"]
    assert drawn.size["width"] > 400 and drawn.size["height"] > 100


def test_a_hostile_document_runs_nothing(started: webdriver.Chrome, tmp_path: Path) -> None:
    from tests.test_page import hostile

    path = tmp_path / "hostile.html"
    path.write_text(html(hostile()), encoding="utf-8")
    browser = shown(started, path.as_uri(), 1200, "light")
    assert "<script>" in browser.title
    assert browser.execute_script("return document.scripts.length") == 1
    assert browser.execute_script("return document.images.length") == 0
    assert browser.get_log("browser") == []
