"""Environments made from wheels that the store has: no index is asked for them, and a damaged one is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from envctl import environment
from envctl.environment import Environment
from envctl.errors import HostLacks
from envctl.host import interpreters
from envctl.lock import Lock
from envctl.oci import wheels
from tests.wheelhouse import Wheelhouse, lock_of, names, of_one, only, served, works

HERE = next(iter(interpreters()))


@pytest.fixture
def house(stand_ins: Path) -> Wheelhouse:
    """A house with "engine" and "helper"."""
    made = of_one(stand_ins / "house")
    made.add("helper", "1.0")
    made.add("engine", "1.0", says="hello from the environment", needs=("helper",))
    return made


def make(lock: Lock, house: Wheelhouse, address: str, *, offline: bool) -> Environment:
    indexes = only(house, pypi=address)
    return environment.find_or_make(lock, interpreters()[HERE], indexes, offline=offline, say=[].append)


def keep(lock: Lock, house: Wheelhouse, *names: str) -> None:
    """Have these wheels in the store, as unbundle leaves them."""
    for package in lock.packages:
        if package.name in names:
            path = wheels.path_of(package)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((house.root / "files" / package.file).read_bytes())


def test_wheels_of_the_store_need_no_index(house: Wheelhouse) -> None:
    lock = lock_of(house, HERE)
    keep(lock, house, "engine", "helper")
    made = make(lock, house, "http://127.0.0.1:9/simple", offline=True)
    assert works(made)
    assert not list(made.folder.rglob("direct_url.json"))  # as from an index


def test_online_only_what_the_store_lacks_is_fetched(house: Wheelhouse) -> None:
    lock = lock_of(house, HERE)
    keep(lock, house, "engine")
    with served(house) as desk:
        assert works(make(lock, house, desk.address, offline=False))
    assert desk.names() == {"helper"}
    assert not [path for path in desk.asked if "engine" in path]


def test_a_damaged_wheel_of_the_store_is_named_taken_away_and_not_installed(house: Wheelhouse) -> None:
    lock = lock_of(house, HERE)
    keep(lock, house, "engine", "helper")
    package = next(each for each in lock.packages if each.name == "engine")
    path = wheels.path_of(package)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(HostLacks, match=rf"{package.file} was damaged"):
        make(lock, house, house.as_index, offline=False)
    assert names() == []
    assert not path.exists()
    assert works(make(lock, house, house.as_index, offline=False))


def test_uv_unpacks_a_wheel_once_for_two_environments(house: Wheelhouse) -> None:
    lock = lock_of(house, HERE)
    keep(lock, house, "engine", "helper")
    cache = house.root.parent / "UV_CACHE_DIR"
    first = make(lock, house, house.as_index, offline=True)
    unpacked = sorted(cache.glob("archive-v0/*"))
    assert unpacked
    first.folder.rename(first.folder.with_name("moved"))
    make(lock, house, house.as_index, offline=True)
    assert sorted(cache.glob("archive-v0/*")) == unpacked
