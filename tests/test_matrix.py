"""The loader of the matrix: what it reads, and that every refusal names file, table and key."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from envctl import compiled
from envctl.base import bases
from envctl.compiled import read_component
from envctl.errors import BadInput
from envctl.matrix import load
from envctl.matrix_file import MatrixError
from envctl.release import EVIDENCE
from envctl.spec import engines, read_spec
from envctl.tree import payload

HEAD = 'component = "engine"\ntitle = "An engine"\nkind = "engine"\n'
GOOD = """
[[release]]
version = "2.0"
source = "https://vendor/2.0"
checked = 2026-11-21
evidence = "documented"
[release.requires]
driver = [">=525", ">=470,<471"]
opset = { any = [">=7,<=20"], source = "measured:docs/evidence.md#opset", evidence = "measured", note = "a note" }
"""
BARE = '[[release]]\nversion = "1.0"\nsource = "s"\nchecked = 2026-11-21\nevidence = "metadata"\n'


def write(folder: Path, text: str) -> Path:
    """The file engine.toml with that text."""
    path = folder / "engine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_claim_takes_the_release_s_source_unless_it_has_its_own(tmp_path: Path) -> None:
    component = read_component(write(tmp_path, HEAD + GOOD + BARE))
    assert (component.name, component.title, component.kind) == ("engine", "An engine", "engine")
    assert [release.version for release in component.releases] == ["2.0", "1.0"]
    driver, opset = component.releases[0].requires
    assert (driver.owner, driver.name, str(driver.condition)) == ("engine 2.0", "driver", ">=525 or >=470,<471")
    assert (driver.source, driver.evidence, driver.note) == ("https://vendor/2.0", "documented", "")
    assert (opset.source, opset.evidence, opset.note) == ("measured:docs/evidence.md#opset", "measured", "a note")


def broken(old: str, new: str) -> str:
    """The good file with one thing changed."""
    assert old in HEAD + GOOD
    return (HEAD + GOOD).replace(old, new, 1)


IN_RELEASE = "engine.toml: release 2.0: "
REFUSALS = {
    "not TOML": (broken('version = "2.0"', "version = 2.0.1"), ["engine.toml", "line 6"]),
    "other component": (
        broken('component = "engine"', 'component = "motor"'),
        ["engine.toml", "key component", "motor"],
    ),
    "no component": (broken('component = "engine"\n', ""), ["engine.toml", "key component"]),
    "unknown kind": (broken('kind = "engine"', 'kind = "engin"'), ["engine.toml", "key kind", "package"]),
    "no kind": (broken('kind = "engine"\n', ""), ["engine.toml", "key kind"]),
    "release is one table": (broken("[[release]]", "[release]"), ["engine.toml", "key release"]),
    "release is a list of words": (HEAD + 'release = ["2.0"]', ["engine.toml", "key release"]),
    "no version": (broken('version = "2.0"\n', ""), ["engine.toml: release 0: ", "key version"]),
    "unquoted version": (broken('"2.0"', "2.0"), [IN_RELEASE, "key version", "quoted"]),
    "no such version": (broken('"2.0"', '"two"'), ["engine.toml: release two: ", "key version"]),
    "range as version": (broken('"2.0"', '">=2.0"'), ["engine.toml: release >=2.0: ", "key version"]),
    "no source": (broken('source = "https://vendor/2.0"\n', ""), [IN_RELEASE, "key source"]),
    "empty source": (broken('"https://vendor/2.0"', '""'), [IN_RELEASE, "key source"]),
    "no date": (broken("checked = 2026-11-21\n", ""), [IN_RELEASE, "key checked"]),
    "date in words": (broken("2026-11-21", '"yesterday"'), [IN_RELEASE, "key checked", "date"]),
    "no evidence": (broken('evidence = "documented"\n', ""), [IN_RELEASE, "key evidence"]),
    "unknown evidence": (broken('"documented"', '"certain"'), [IN_RELEASE, "key evidence", "measured"]),
    "misspelt key": (broken("[release.requires]", "[release.require]"), [IN_RELEASE, "key require is unknown"]),
    "requires is no table": (HEAD + BARE + "requires = 5\n", ["engine.toml: release 1.0: ", "key requires"]),
    "claim is a word": (broken('[">=525", ">=470,<471"]', '">=525"'), [IN_RELEASE, "requires.driver", "list"]),
    "claim is a number": (broken('[">=525", ">=470,<471"]', "525"), [IN_RELEASE, "requires.driver"]),
    "claim is empty": (broken('[">=525", ">=470,<471"]', "[]"), [IN_RELEASE, "requires.driver"]),
    "unquoted specifier": (broken('[">=525", ">=470,<471"]', "[525]"), [IN_RELEASE, "requires.driver", "quoted"]),
    "no specifier": (broken('">=525"', '"525"'), [IN_RELEASE, "requires.driver", "'525'"]),
    "claim without any": (broken("any =", "note2 ="), [IN_RELEASE, "requires.opset", "note2"]),
    "claim's evidence": (
        broken('evidence = "measured"', 'evidence = "sure"'),
        [IN_RELEASE, "requires.opset", "evidence"],
    ),
    "misspelt claim key": (broken("note =", "nota ="), [IN_RELEASE, "requires.opset", "key nota is unknown"]),
    "unsorted": (HEAD + BARE + GOOD, [IN_RELEASE, "newest first", "1.0"]),
    "doubled": (HEAD + GOOD + BARE.replace("1.0", "2.0.0"), ["engine.toml: release 2.0.0: ", "each once"]),
}


@pytest.mark.parametrize(("text", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_names_file_table_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(MatrixError) as caught:
        read_component(write(tmp_path, text))
    assert [word for word in words if word not in caught.value.what] == [], caught.value.what


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "engine.toml").write_bytes(b'component = "\xff\xfe"')
    with pytest.raises(MatrixError, match="engine.toml"):
        read_component(tmp_path / "engine.toml")


def test_an_unknown_component_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, HEAD + GOOD)
    with pytest.raises(BadInput, match="unknown component 'engin'") as caught:
        load(tmp_path).component("engin")
    assert caught.value.do == ["did you mean engine?"]
    with pytest.raises(BadInput) as caught:
        load(tmp_path).component("zzz")
    assert caught.value.do == ["known: engine"]


@pytest.mark.parametrize("name", load().names())
def test_the_real_matrix_loads_and_every_fact_has_its_source(name: str) -> None:
    component = load().component(name)
    for release in component.releases:
        assert release.source and release.evidence in EVIDENCE
        for claim in release.requires:
            assert claim.source and claim.evidence in EVIDENCE
            assert claim.owner == f"{name} {release.version}"


@pytest.mark.parametrize("name", load().names())
def test_measured_facts_of_the_real_matrix_name_a_record_that_exists(name: str) -> None:
    root = payload("matrices").parent
    claims = [claim for release in load().component(name).releases for claim in release.requires]
    measured = {claim.source for claim in claims if claim.evidence == "measured"}
    for source in measured:
        assert source.startswith("measured:"), source
        path, _, anchor = source.removeprefix("measured:").partition("#")
        record = root / path
        assert record.is_file(), source
        assert not anchor or anchor in anchors(record), source


def anchors(page: Path) -> set[str]:
    """What its headings are called in a link."""
    titles = re.findall(r"^#+ +(.+?) *$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_engine_with_a_recipe_stands_in_the_matrix() -> None:
    matrix = load()
    for engine in engines():
        # torch is a package that others are built for, too: as an engine it would break ncnn's claims
        assert matrix.component(engine).kind == ("package" if engine == "torch" else "engine")
        assert read_spec(engine).engine == engine


def test_every_base_brings_a_python_of_its_own() -> None:
    pythons = [base.python for base in bases()]
    assert len(set(pythons)) == len(pythons) >= 2


def test_only_the_newest_compilations_of_a_component_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is edited again and again; those of other components stay, an older envctl's go."""
    monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "matrix" / "openvino"
    other, older = folder.parent / "openvino-x" / "a.json", folder.parent / "b.json"
    for path in (other, older, *(folder / f"{number:064}.json" for number in range(compiled.KEPT))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (int(path.stem, 16), int(path.stem, 16)))
    source = tmp_path / "openvino.toml"
    source.write_text((payload("matrices") / "openvino.toml").read_text())
    first = read_component(source)
    kept = sorted(folder.iterdir())
    assert len(kept) == compiled.KEPT and folder / f"{0:064}.json" not in kept
    assert other.exists() and not older.exists()
    assert read_component(source) == first and sorted(folder.iterdir()) == kept
