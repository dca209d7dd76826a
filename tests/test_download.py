"""Locked wheels as files: from an index over HTTP (pip brings them), a file index, a folder; and what goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from envctl import lock
from envctl.aliases import Indexes
from envctl.errors import BadInput, EnvctlError, HostLacks
from envctl.lock import Lock
from envctl.oci import wheels
from tests import wheelhouse
from tests.wheelhouse import Wheelhouse, served

pytestmark = pytest.mark.usefixtures("stand_ins")
PLATFORM = "x86_64-manylinux_2_28"


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    made = Wheelhouse(tmp_path / "house")
    made.add("engine", "1.0", says="hello")
    made.add("fast-part", "2.0", tag="cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64")
    return made


@pytest.fixture
def locked(house: Wheelhouse) -> Lock:
    recipe = wheelhouse.spec("engine", "fast-part")
    indexes = wheelhouse.only(house)
    return lock.find_or_make(
        wheelhouse.stack("3.11"), recipe, PLATFORM, indexes, offline=False, refresh=False, say=[].append
    )


def bring(locked: Lock, address: str, *folders: Path, offline: bool = False) -> dict[str, Path]:
    indexes = Indexes(addresses={"pypi": address})
    return wheels.bring(locked, indexes, folders, offline=offline, say=[].append)


def kept() -> list[str]:
    folder = wheels.place("wheels", "")
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def assert_complete(locked: Lock, found: dict[str, Path]) -> None:
    assert {sha: wheelhouse.sha256(path) for sha, path in found.items()} == {
        each.sha256: each.sha256 for each in locked.packages
    }
    assert kept() == sorted(f"{each.sha256}.whl" for each in locked.packages)


def test_over_http_once_and_not_again(locked: Lock, house: Wheelhouse) -> None:
    with served(house) as desk:
        assert_complete(locked, bring(locked, desk.address))
        fetched = [path for path in desk.asked if path.endswith(".whl")]
        assert sorted(fetched) == sorted({f"/files/{each.file}" for each in locked.packages})
    assert_complete(locked, bring(locked, "http://127.0.0.1:9/", offline=True))


def test_for_another_platform_and_python_than_this_one(house: Wheelhouse) -> None:
    house.add("other", "1.0", tag="cp313-cp313-manylinux_2_17_aarch64.manylinux2014_aarch64")
    recipe, indexes = wheelhouse.spec("other"), wheelhouse.only(house)
    platform = "aarch64-manylinux_2_35"
    locked = lock.find_or_make(
        wheelhouse.stack("3.13"), recipe, platform, indexes, offline=False, refresh=False, say=[].append
    )
    with served(house) as desk:
        assert_complete(locked, bring(locked, desk.address))


def test_a_lock_decides_where_a_wheel_says_that_it_is_not_for_so_new_a_python(house: Wheelhouse) -> None:
    """uv resolves past upper bounds (ai-edge-litert asks for backports-strenum, which is "for Python < 3.11")."""
    house.add("backport", "1.0", python=">=3.8,<3.11")
    recipe, indexes = wheelhouse.spec("backport"), wheelhouse.only(house)
    locked = lock.find_or_make(
        wheelhouse.stack("3.11"), recipe, PLATFORM, indexes, offline=False, refresh=False, say=[].append
    )
    with served(house) as desk:
        assert_complete(locked, bring(locked, desk.address))


@pytest.mark.parametrize("kind", ["as_index", "as_folder"])
def test_from_files(locked: Lock, house: Wheelhouse, kind: str) -> None:
    assert_complete(locked, bring(locked, getattr(house, kind)))


def test_from_a_folder_without_any_index(locked: Lock, house: Wheelhouse) -> None:
    assert_complete(locked, bring(locked, "http://127.0.0.1:9/", house.root / "files", offline=True))


def test_what_came_before_a_failure_is_kept(locked: Lock, house: Wheelhouse) -> None:
    """The file of the second package is gone from the server, though its page still names it."""
    gone = house.root / "files" / locked.packages[1].file
    data = gone.read_bytes()
    gone.unlink()
    with served(house) as desk, pytest.raises(HostLacks, match="could not fetch fast_part"):
        bring(locked, desk.address)
    assert kept() == [f"{locked.packages[0].sha256}.whl"]
    gone.write_bytes(data)
    with served(house) as desk:
        assert_complete(locked, bring(locked, desk.address))
        assert [path for path in desk.asked if path.endswith(".whl")] == [f"/files/{gone.name}"]


def test_another_file_under_the_locked_name(locked: Lock, house: Wheelhouse) -> None:
    """The page has the old hash, the file is new: pip refuses it. With its hash there, uv knows no such file."""
    path = house.root / "files" / locked.packages[0].file
    path.write_bytes(path.read_bytes() + b"changed")
    with served(house) as desk, pytest.raises(HostLacks, match="could not fetch engine") as caught:
        bring(locked, desk.address)
    assert "do not trust it" in caught.value.do[0]
    house.publish("engine")
    with served(house) as desk, pytest.raises(HostLacks, match="does not have engine"):
        bring(locked, desk.address)
    with pytest.raises(BadInput, match="not the wheel that was locked"):
        bring(locked, "http://127.0.0.1:9/", house.root / "files")
    assert [name for name in kept() if name.startswith(locked.packages[0].sha256)] == []


def test_passwords_of_an_index_are_in_no_error(locked: Lock, house: Wheelhouse) -> None:
    (house.root / "files" / locked.packages[1].file).unlink()
    with served(house) as desk, pytest.raises(EnvctlError) as caught:
        bring(locked, desk.address.replace("://", "://user:secret@"))
    assert "secret" not in str(caught.value.as_data())
