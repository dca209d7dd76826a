"""Dependency confusion: where the same name lies on two indexes, with a higher version on the wrong one, the lock takes
the one that the image spec assigns, in both directions, and the other is not even asked.

TensorRT's own spec (images/tensorrt.toml) against two stand-ins on 127.0.0.1."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from envctl import lockfile
from envctl.cli.pins import read_pins
from envctl.errors import HostLacks
from envctl.lockfile import LockFile
from envctl.workflow import lock, lock_wish
from tests import locking, wheelhouse
from tests.wheelhouse import TwoIndexes, Wheelhouse

pytestmark = pytest.mark.usefixtures("stand_ins")
VENDORS = ("tensorrt-cu13-libs", "tensorrt-cu13-bindings")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwoIndexes]:
    """Each index has the other's packages too, newer, and put there by a stranger."""
    locking.world(tmp_path)  # for its cache
    vendor, default = Wheelhouse(tmp_path / "vendor"), Wheelhouse(tmp_path / "default")
    for name in VENDORS:
        vendor.add(name, "10.16.1.11", says="the vendor's", needs=("numpy", "helper"))
        default.add(name, "10.16.1.11", says="a stranger's")
        default.add(name, "10.16.1.99", says="a stranger's, newer")
    for name in ("numpy", "helper"):
        default.add(name, "2.0", says="the community's")
        vendor.add(name, "9.9", says="newer, and nobody assigned it to this index")
    with wheelhouse.two_served(vendor, default) as both:
        yield both


def make(world: TwoIndexes, old: LockFile | None = None, **chosen: object) -> LockFile:
    """TensorRT 10.16 for CPython 3.11."""
    asked = lock_wish.asked("tensorrt", read_pins({"--trt": "10.16"}, []), [], [locking.TARGET], "none", "")
    return lock.make(
        asked,
        old,
        lock.LockOptions(index=tuple(f"{alias}={url}" for alias, url in world.indexes.addresses.items()), **chosen),
        [].append,
    )  # type: ignore[arg-type]


def assert_from_the_right_index(made: LockFile, world: TwoIndexes) -> None:
    packages = {package.name: package for package in made.targets[0].environment.packages}
    houses = {"nvidia": world.vendor, "pypi": world.default}
    assert {name: (p.version, p.index) for name, p in packages.items()} == {
        **dict.fromkeys(VENDORS, ("10.16.1.11", "nvidia")),
        **dict.fromkeys(("numpy", "helper"), ("2.0", "pypi")),
    }
    for package in packages.values():
        assert package.sha256 == wheelhouse.sha256(houses[package.index].root / "files" / package.file)
    assert world.vendor_server.names() == set(VENDORS)
    assert world.default_server.names() == {"numpy", "helper"}


def test_neither_index_is_asked_for_the_other_s_packages(world: TwoIndexes) -> None:
    assert_from_the_right_index(make(world), world)


@pytest.mark.parametrize("upgrade", [frozenset(), frozenset({"everything"}), frozenset({"numpy"})])
def test_locking_again_does_not_move_a_package_to_another_index(world: TwoIndexes, upgrade: frozenset[str]) -> None:
    assert_from_the_right_index(make(world, make(world), upgrade=upgrade), world)


def test_a_lock_that_somebody_moved_to_the_other_index_is_put_right(world: TwoIndexes) -> None:
    """What an old lock prefers is a version, never an index."""
    good = make(world).text()
    stranger = world.default.root / "files" / "tensorrt_cu13_libs-10.16.1.11-py3-none-any.whl"
    mine = world.vendor.root / "files" / stranger.name
    edited = good.replace(wheelhouse.sha256(mine), wheelhouse.sha256(stranger))
    assert make(world, lockfile.parse(edited)).text() == good


@pytest.mark.parametrize("variable", ["UV_EXTRA_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_FIND_LINKS"])
def test_a_user_s_own_indexes_do_not_come_first(
    world: TwoIndexes, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    address = world.vendor.as_folder if variable == "UV_FIND_LINKS" else world.vendor_server.address
    monkeypatch.setenv(variable, address)
    made = make(world)
    packages = {package.name: package.version for package in made.targets[0].environment.packages}
    assert packages["numpy"] == packages["helper"] == "2.0"


def test_an_index_in_uv_s_own_configuration_does_not_come_first(world: TwoIndexes, stand_ins: Path) -> None:
    """It stays for what the default index lacks: whoever wrote it there wants it asked."""
    config = stand_ins / "XDG_CONFIG_HOME" / "uv" / "uv.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[[index]]\nname = "own"\nurl = "{world.vendor_server.address}"\n')
    assert_from_the_right_index(make(world), world)


@pytest.mark.parametrize("strategy", ["unsafe-best-match", "unsafe-first-match"])
def test_a_strategy_that_mixes_indexes_does_not_reach_a_lock(
    world: TwoIndexes, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    monkeypatch.setenv("UV_INDEX_STRATEGY", strategy)
    assert_from_the_right_index(make(world), world)


@pytest.mark.parametrize(("which", "name"), [("vendor", VENDORS[0]), ("default", "helper")])
def test_what_its_index_lost_is_not_taken_from_the_other(world: TwoIndexes, which: str, name: str) -> None:
    house: Wheelhouse = getattr(world, which)
    shutil.rmtree(house.root / "simple" / name)
    with pytest.raises(HostLacks, match="does not have them") as caught:
        make(world)
    assert {"vendor": "(nvidia)", "default": "(pypi)"}[which] in caught.value.what


def test_an_alias_that_nobody_configured_is_named(world: TwoIndexes) -> None:
    asked = lock_wish.asked("tensorrt", read_pins({"--trt": "10.16"}, []), [], [locking.TARGET], "none", "")
    options = lock.LockOptions(index=(f"pypi={world.default_server.address}",))
    with pytest.raises(HostLacks, match="cannot reach the package index 'nvidia'") as caught:
        lock.make(asked, None, options, [].append)
    assert any("--index nvidia=" in hint for hint in caught.value.do)
    assert world.default_server.names() == set()
