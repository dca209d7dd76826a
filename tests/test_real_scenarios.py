"""Whole-stack requests against the real matrix: what an examiner asks, and what the vendors' pages let him expect."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from typer.testing import CliRunner

from envctl.cli.resolve import app

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("real_*.toml"))
KEYS = frozenset(
    {
        *("exit", "choices", "absent", "unmet", "packages", "engines"),
        *("what_has", "blames", "not_blames", "because_has", "hints_have"),
    }
)
Answer = dict[str, Any]


def parameters() -> list[Any]:
    """A parameter for each file; one that is known to be answered wrongly is marked so, with its reason."""
    found = []
    for path in SCENARIOS:
        reason = tomllib.loads(path.read_text(encoding="utf-8")).get("xfail")
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
        found.append(pytest.param(path, id=path.stem.removeprefix("real_"), marks=marks))
    return found


@pytest.mark.parametrize("path", parameters())
def test_real_scenario(path: Path) -> None:
    scenario = tomllib.loads(path.read_text(encoding="utf-8"))
    expect, answer = scenario["expect"], ask(scenario["arguments"], scenario["expect"].get("exit", 0))
    assert scenario["source"] and set(expect) <= KEYS
    if "error" in answer:
        check_error(answer["error"], expect)
    elif "engines" in answer:
        check_engines(answer["engines"], expect["engines"])
    else:
        check_stack(answer["stack"], expect)


def ask(arguments: list[str], code: int) -> Answer:
    """The JSON answer of `envctl resolve`; the exit code must be the one that is expected."""
    ran = CliRunner().invoke(app, [*arguments, "--json"])
    assert ran.exit_code == code, f"exit code {ran.exit_code}, not {code}: {ran.exception!r}\n{ran.output[:3000]}"
    answer: Answer = json.loads(ran.output)
    return answer


def check_stack(stack: Answer, expect: Answer) -> None:
    """Chosen versions satisfy the specifiers, and what is left to uv admits and refuses what it should."""
    chosen = {name: choice["version"] for name, choice in stack["choices"].items()}
    wrong = {name: chosen.get(name) for name, want in expect["choices"].items() if not fits(chosen.get(name), want)}
    assert not wrong, f"chosen: {chosen}"
    assert not set(expect.get("absent", ())) & set(chosen)
    assert set(expect.get("unmet", ())) <= {claim["name"] for claim in stack["unmet"]}
    for name, versions in expect.get("packages", {}).items():
        left = SpecifierSet(",".join(stack["constraints"][name]))
        assert all(left.contains(version) for version in versions.get("admits", ())), f"{name}: {left}"
        assert not any(left.contains(version) for version in versions.get("refuses", ())), f"{name}: {left}"


def check_engines(found: list[Answer], expect: Answer) -> None:
    """The newest version of each engine that runs on the GPU and on the CPU; none where none is expected."""
    engines = {each["engine"]: each for each in found}
    for name, wanted in expect.items():
        for where in ("gpu", "cpu"):
            versions = engines[name][where]
            assert bool(versions) == (where in wanted), f"{name} on {where}: {versions}"
            assert not versions or fits(versions[0], wanted[where]), f"{name} on {where}: {versions[0]}"
        assert wanted or engines[name]["why_not"], f"{name}: nobody says why not"


def check_error(error: Answer, expect: Answer) -> None:
    """The lines of the proof name what is to blame and nothing else, and the hints say what is said to help."""
    because = [line["text"] for line in error["because"]]
    assert all(line["source"] for line in error["because"]), "a line without a source"
    for text in expect.get("what_has", ()):
        assert text in error["what"]
    for name in expect.get("blames", ()):
        assert names(because, name), f"{name} is not blamed: {because}"
    for name in expect.get("not_blames", ()):
        assert not names(because, name), f"{name} is blamed: {because}"
    for text in expect.get("because_has", ()):
        assert any(text in line for line in because), f"{text!r} is not in {because}"
    for text in expect.get("hints_have", ()):
        assert any(text in hint for hint in error["do"]), f"{text!r} is not in {error['do']}"


def fits(version: str | None, wanted: str) -> bool:
    """Whether a version satisfies a specifier; words (gpu-class) must be equal."""
    if version is None or wanted[0].isalpha():
        return version == wanted
    return SpecifierSet(wanted).contains(version, prereleases=True)


def names(lines: list[str], name: str) -> bool:
    """Whether a line is about a component; notes, in round brackets, do not count."""
    about = [re.sub(r"\(.*\)", "", line) for line in lines]
    return any(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", line) for line in about)


def test_there_are_scenarios_of_both_kinds() -> None:
    read = [tomllib.loads(path.read_text(encoding="utf-8"))["expect"] for path in SCENARIOS]
    assert len(read) >= 65
    assert len(read) / 4 < sum("choices" in expect for expect in read) < len(read) * 3 / 4
