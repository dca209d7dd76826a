"""What has drifted since a file was locked is named, one cause at a time; locking again changes little."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from envctl import base, spec, tree
from envctl.errors import BadInput, HostLacks, NoStack
from envctl.lockfile import LockFile
from envctl.workflow import lock_wish
from tests import locking
from tests.locking import World, asking

pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return locking.world(tmp_path)


@pytest.fixture
def made(world: World) -> LockFile:
    return world.lock()


@pytest.fixture
def own_payload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Matrix and image specs that a test may edit."""
    own = tmp_path / "payload"
    for name in ("matrices", "images"):
        shutil.copytree(tree.payload(name), own / name)
    for module in (spec, base):
        monkeypatch.setattr(module, "payload", lambda name: own / name)
    monkeypatch.setattr("envctl.matrix.payload", lambda name: own / name)
    return own


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def version(made: LockFile, name: str) -> str | None:
    return made.targets[0].environment.version(name)


# --- --check


def test_nothing_drifted(world: World, made: LockFile) -> None:
    assert world.drifted(made) == []


def test_a_matrix_row_is_named(world: World, own_payload: Path) -> None:
    made = world.lock()
    edit(own_payload / "matrices/onnxruntime.toml", 'numpy = [">=1.21.6"]', 'numpy = [">=1.21.7"]')
    drifted = world.drifted(made)
    assert [(kind, name) for kind, name, _, _ in drifted] == [("input", "matrix row onnxruntime 1.31.1")]


def test_a_note_in_the_matrix_is_no_drift(world: World, own_payload: Path) -> None:
    made = world.lock()
    edit(own_payload / "matrices/onnxruntime.toml", 'evidence = "metadata"\n', 'evidence = "metadata"\nnote = "new"\n')
    assert world.drifted(made) == []


def test_a_row_that_forbids_a_locked_package_is_named_with_what_follows(world: World, own_payload: Path) -> None:
    made = world.lock()
    world.house.add("numpy", "1.26.0")
    edit(own_payload / "matrices/onnxruntime.toml", 'numpy = [">=1.21.6"]', 'numpy = [">=1.21.6,<2"]')
    drifted = world.drifted(made)
    assert ("package", "numpy", "2.0.0", "1.26.0") in drifted


def test_an_image_spec_is_named(world: World, own_payload: Path) -> None:
    made = world.lock()
    edit(own_payload / "images/onnxruntime.toml", '"numpy"]', '"numpy>=1"]')
    assert [(kind, name) for kind, name, _, _ in world.drifted(made)] == [("input", "image spec onnxruntime")]


def test_a_base_s_recipe_is_named(world: World, own_payload: Path) -> None:
    made = world.lock(request=asking(base="auto"))
    edit(own_payload / "images/base.toml", ', "libgomp1"]', "]")
    drifted = {(kind, name): new for kind, name, _, new in world.drifted(made)}
    assert drifted["Debian package", "libgomp1"] == "-"
    assert ("input", "base recipe debian:bookworm") in drifted and ("base", "recipe") in drifted


def test_a_package_of_the_base_is_named(world: World) -> None:
    made = world.lock(request=asking(base="auto"))
    world.publish(libgomp1="1.0-2+deb12u1")
    (drift,) = world.drifted(made)
    assert drift[:2] == ("Debian package", "libgomp1") and "1.0-2+deb12u1" in drift[3]


def test_a_version_that_left_the_index_is_named(world: World, made: LockFile) -> None:
    world.house.add("protobuf", "6.5.0")
    next((world.house.root / "files").glob("protobuf-6.0.0*")).unlink()
    world.house.publish("protobuf")
    assert world.drifted(made) == [("package", "protobuf", "6.0.0", "6.5.0")]


def test_a_file_that_was_replaced_under_its_name_is_named(world: World, made: LockFile, tmp_path: Path) -> None:
    world.house.add("protobuf", "6.0.0", says="another file")
    shutil.rmtree(tmp_path / "UV_CACHE_DIR")
    assert {name for _, name, _, _ in world.drifted(made)} == {"protobuf sha256", "protobuf size"}


def test_newer_versions_are_no_drift_and_are_named_when_asked_for(world: World, made: LockFile) -> None:
    world.house.add("numpy", "2.9.0")
    assert world.drifted(made) == []
    everything = world.drifted(made, upgrade=frozenset({"everything"}))
    assert everything == [("package", "numpy", "2.0.0", "2.9.0")]


def test_a_pinned_engine_that_the_index_lost_is_the_index_s_lack(world: World, made: LockFile) -> None:
    shutil.rmtree(world.house.root / "simple/onnxruntime")
    with pytest.raises(HostLacks, match=r"the index \(pypi\) does not have them"):
        world.drifted(made)


# --- locking again


def test_locking_again_keeps_what_there_is(world: World, made: LockFile) -> None:
    world.house.add("numpy", "2.9.0")
    world.house.add("protobuf", "6.9.0")
    assert world.lock(made).text() == made.text()


def test_upgrade_takes_one_package_or_all(world: World, made: LockFile) -> None:
    for name in ("numpy", "protobuf"):
        world.house.add(name, "6.9.0")
    one = world.lock(made, upgrade=frozenset({"numpy"}))
    assert (version(one, "numpy"), version(one, "protobuf")) == ("6.9.0", "6.0.0")
    both = world.lock(made, upgrade=frozenset({"everything"}))
    assert (version(both, "numpy"), version(both, "protobuf")) == ("6.9.0", "6.9.0")


def test_upgrade_of_a_name_that_is_nowhere_is_refused(world: World, made: LockFile) -> None:
    with pytest.raises(BadInput, match="--upgrade numpi") as caught:
        world.lock(made, upgrade=frozenset({"numpi"}))
    assert "numpy" in caught.value.do[0]


def test_the_engine_stays_too_until_it_is_upgraded(world: World, own_payload: Path) -> None:
    """A newer release of the engine in the matrix does not move a lock of its own accord."""
    world.house.add("onnxruntime", "1.31.0")
    rows = own_payload / "matrices/onnxruntime.toml"
    text = rows.read_text()
    head, newest, rest = text.split("[[release]]", 2)
    rows.write_text(f"{head}[[release]]{rest}")
    made = world.lock()
    assert made.targets[0].version("onnxruntime") == "1.31.0"
    rows.write_text(text)
    assert newest.count("1.31.1")
    assert world.lock(made).targets[0].version("onnxruntime") == "1.31.0"
    for name in ("onnxruntime", "everything"):
        upgraded = world.lock(made, upgrade=frozenset({name}))
        assert upgraded.targets[0].version("onnxruntime") == version(upgraded, "onnxruntime") == "1.31.1"


def test_a_target_that_is_added_leaves_the_others_alone(world: World, made: LockFile) -> None:
    world.house.add("numpy", "2.9.0")
    wider = world.lock(made, asking(locking.TARGET, "name=arm,platform=aarch64"))
    assert wider.targets[0].environment == made.targets[0].environment
    assert wider.targets[1].environment.version("numpy") == "2.9.0"
    assert wider.targets[1].environment.platform == "aarch64-manylinux_2_35"


# --- days


def test_what_was_uploaded_later_does_not_count(world: World) -> None:
    world.house.add("numpy", "2.9.0")
    page = world.house.root / "simple/numpy/index.html"
    for name in ("onnxruntime", "protobuf", "numpy"):
        page = world.house.root / "simple" / name / "index.html"
        text = page.read_text().replace("<a ", '<a data-upload-time="2026-01-15T12:00:00Z" ')
        late = 'data-upload-time="2026-03-01T00:30:00Z"'
        page.write_text("\n".join(line.replace('data-upload-time="2026-01-15T12:00:00Z"', late)
                                  if "2.9.0" in line else line for line in text.split("\n")))  # fmt: skip
    before = world.lock(request=asking(newer="2026-02-28"))
    after = world.lock(request=asking(newer="2026-03-01"))
    assert (version(before, "numpy"), version(after, "numpy")) == ("2.0.0", "2.9.0")
    assert before.request.exclude_newer == "2026-03-01T00:00:00Z"
    assert version(world.lock(before, upgrade=frozenset({"everything"})), "numpy") == "2.0.0"


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
def test_a_day_ends_in_utc_wherever_one_is(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    assert lock_wish.moment("2026-12-31") == "2027-01-01T00:00:00Z"
    assert lock_wish.moment("2026-11-01T10:00:00+02:00") == "2026-11-01T08:00:00Z"


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-11-01T10:00:00", "9999-12-31"])
def test_no_date_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--exclude-newer"):
        lock_wish.moment(text)


def test_settings_of_the_user_s_own_do_not_choose(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.house.add("numpy", "2.9.0")
    plain = world.lock()
    monkeypatch.setenv("UV_RESOLUTION", "lowest")
    monkeypatch.setenv("UV_EXCLUDE_NEWER", "2020-01-01")
    assert world.lock().text() == plain.text()


def test_packages_that_exclude_each_other_are_no_stack(world: World) -> None:
    with pytest.raises(NoStack):
        world.lock(request=asking(pins=("numpy=1.0",)))
