"""`envctl matrix check --index` and `update`: a reviewable change, never over documented facts, never in part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from envctl.aliases import Indexes
from envctl.compiled import read_component
from envctl.matrix import load
from envctl.upstream.simple import Simple
from envctl.workflow import refresh
from tests.conftest import Ran
from tests.matrix_world import ENGINE, NUMPY, TAG, World, make, runner


@pytest.fixture
def world(stand_ins: Path) -> World:
    return make(stand_ins)


@pytest.fixture
def run(world: World, envctl: Callable[..., Ran]) -> Callable[..., Ran]:
    return runner(world, envctl)


def changed(edit: refresh.Edit) -> list[str]:
    """The lines of a diff that differ."""
    lines = edit.diff.splitlines()[2:]
    return [line for line in lines if line.startswith(("+", "-"))]


def test_only_what_differs_is_written(world: World) -> None:
    """A claim of a metadata row (and the day of that row), a metadata claim of a documented row (and its own day)."""
    report, (edit,) = world.update()
    assert changed(edit) == [
        "-checked = 2026-01-01",
        "+checked = 2026-11-21",
        '-numpy  = [">=1.20"]',
        '+numpy  = [">=1.21,<3"]',
        '-glibc = { any = [">=2.17"], source = "pypi:engine==1.0", evidence = "metadata" }',
        '+glibc = { any = [">=2.28"], source = "pypi:engine==1.0", evidence = "metadata", checked = 2026-11-21 }',
    ]
    (wider,) = report.differences
    assert (wider.release, wider.key, wider.ours) == ("1.0", "requires.numpy", (">=1.16",))


def test_a_second_update_finds_nothing(world: World) -> None:
    _, edits = world.update()
    refresh.write(edits)
    assert world.update()[1] == []


def test_a_new_release_is_an_unverified_row_in_its_place(world: World) -> None:
    world.house.add("engine", "2.1", tag="cp312-abi3-manylinux_2_34_x86_64", needs=("numpy>=2", "unheard-of"))
    world.house.add("engine", "1.5", tag=TAG)
    refresh.write(world.update()[1])
    text = world.file.read_text()
    assert [release.version for release in read_component(world.file).releases] == ["2.1", "2.0", "1.5", "1.0"]
    assert NEW_ROW + "\n# the newest one\n[[release]]\n" in text
    assert 'version = "1.5"' in text.partition("# an old one")[0], "a comment stays with the row that it is about"


# what the index says is written as such; what it cannot say is taken over, with its source, for somebody to look at
NEW_ROW = """\
[[release]]
version = "2.1"
source = "pypi:engine==2.1"
checked = 2026-11-21
evidence = "unverified"
[release.requires]
python = [">=3.12"]
numpy = [">=2"]
glibc = [">=2.34"]
opset = { any = [">=7,<=20"], source = "measured:docs/evidence.md#engine", evidence = "unverified", \
note = "taken over from 2.0" }
[release.gpu]
cuda = { any = [">=12"], source = "https://vendor.example/2.0", evidence = "unverified", \
note = "taken over from 2.0; a page" }
"""


def test_a_claim_that_was_missing_is_added(world: World) -> None:
    world.file.write_text(ENGINE.replace('numpy  = [">=1.20"]\n', ""))
    edit = world.update()[1][0]
    assert '+numpy = { any = [">=1.21,<3"], source = "pypi:engine==2.0", evidence = "metadata" }' in changed(edit)
    assert not any("numpy" in line for line in changed(edit) if line.startswith("-"))


def test_what_the_index_cannot_say_without_a_wheel_is_taken_over_too(world: World) -> None:
    """TensorRT's releases are source stubs: nothing follows from tags, so the row below speaks for the new one."""
    for path in (world.house.root / "files").glob("engine-*.whl"):
        path.rename(path.with_name(f"engine-{path.name.split('-')[1]}.tar.gz"))
    (world.house.root / "files" / "engine-3.0.tar.gz").touch()
    links = "".join(f'<a href="../../files/{path.name}">x</a>' for path in (world.house.root / "files").iterdir())
    (world.house.root / "simple" / "engine" / "index.html").write_text(links)
    (edit,) = world.update()[1]
    taken = 'source = "pypi:engine==2.0", evidence = "unverified", note = "taken over from 2.0'
    assert f'+python = {{ any = [">=3.11,<3.12"], {taken}" }}' in changed(edit)
    assert f'+glibc = {{ any = [">=2.28"], {taken}; x86_64 wheel" }}' in changed(edit)


def test_a_claim_that_no_machine_edits_is_left_to_a_person(world: World) -> None:
    world.file.write_text(ENGINE.replace('numpy  = [">=1.20"]', 'numpy  = [\n    ">=1.20",\n]'))
    report, (edit,) = world.update()
    assert "numpy" not in "".join(changed(edit))
    assert ("2.0", "requires.numpy") in [(each.release, each.key) for each in report.differences]


# --- as it is used


def test_a_dry_run_shows_the_change_and_leaves_all_as_it_is(world: World, run: Callable[..., Ran]) -> None:
    ran = run("update", "--dry-run")
    assert ran.code == 0
    assert "--- a/engine.toml\n+++ b/engine.toml\n" in ran.out
    assert '+numpy  = [">=1.21,<3"]' in ran.out
    assert "1 files would change" in ran.out
    assert "asking the index (pypi) about engine" in ran.err
    assert world.file.read_text() == ENGINE


def test_update_says_what_it_wrote(world: World, run: Callable[..., Ran]) -> None:
    ran = run("update", "--json")
    assert ran.code == 0
    assert ran.json["written"] is True
    assert [Path(file["path"]).name for file in ran.json["files"]] == ["engine.toml"]
    assert [each["key"] for each in ran.json["by_hand"]["differences"]] == ["requires.numpy"]
    assert 'numpy  = [">=1.21,<3"]' in world.file.read_text()


def test_check_shows_the_differences_as_a_diff(world: World, run: Callable[..., Ran]) -> None:
    world.house.add("engine", "3.0", tag=TAG)
    ran = run("check", "--index")
    assert ran.code == 1
    expected = " release 2.0  [pypi:engine==2.0]\n-  requires.numpy >=1.20\n+  requires.numpy >=1.21,<3\n"
    assert expected in ran.out
    assert "+release 3.0: python >=3.11,<3.12; glibc >=2.28  [pypi:engine==3.0]" in ran.out


def test_check_without_differences_is_0_and_says_what_is_kept(world: World, run: Callable[..., Ran]) -> None:
    good = ENGINE.replace('">=1.20"', '">=1.21,<3"').replace('">=2.17"', '">=2.28"').replace('">=1.16"', '">=1.19"')
    world.file.write_text(good.replace('kind = "package"', 'kind = "package"\npackages = ["opset", "cuda"]'))
    (world.folder / "python.toml").write_text(NUMPY.replace("numpy", "python"))
    (world.folder / "glibc.toml").write_text(NUMPY.replace("numpy", "glibc").replace("package", "host"))
    ran = run("check", "--index", "-v")
    assert ran.code == 0, ran.out
    assert "kept engine 1.0: requires.numpy >=1.19" in ran.out
    assert "not compared: numpy: no distribution of its name is cited" in ran.out
    document = run("check", "--index", "--json").json
    assert document["findings"] == document["index"]["differences"] == []
    assert [each["kind"] for each in document["index"]["kept"]] == ["kept"]


@pytest.mark.engines
@pytest.mark.parametrize("component", ["onnx", "tf2onnx"])
def test_the_real_index_has_what_the_matrix_says(component: str) -> None:
    """Behind the index that is configured here: every row is there, and the newest row is read as it is written."""
    matrix = load()
    report = refresh.compare(matrix, component, Simple(indexes=Indexes(addresses={})), [].append)
    newest = matrix.component(component).releases[0].version
    assert report.compared == [component]
    assert [each for each in report.differences if each.kind in ("not on the index", "not required")] == []
    assert [each for each in report.differences if each.release == newest] == []
