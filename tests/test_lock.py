"""Locks: the same bytes everywhere, kept, and chosen anew on demand only."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envctl import lock
from envctl.aliases import Indexes
from envctl.errors import HostLacks
from envctl.lock import Lock
from envctl.package import LockedPackage
from tests import wheelhouse
from tests.wheelhouse import Wheelhouse

PLATFORM = "x86_64-manylinux_2_28"
HASH = "00ff" * 16
GOLDEN = """{
  "format": 2,
  "packages": [
    {
      "file": "plain-2.0-py3-none-any.whl",
      "index": "pypi",
      "name": "plain",
      "sha256": "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff",
      "size": 123,
      "version": "2.0"
    }
  ],
  "platform": "x86_64-manylinux_2_28",
  "python": "3.11"
}
"""


pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    """engine 1.0, which needs plain."""
    made = Wheelhouse(tmp_path / "house")
    made.add("engine", "1.0", needs=("plain>=1",))
    made.add("plain", "1.0")
    return made


def make(indexes: Indexes, *, offline: bool = False, refresh: bool = False, said: list[str] | None = None) -> Lock:
    """The lock of engine 1.0 on CPython 3.11."""
    say = (said if said is not None else []).append
    recipe, wanted = wheelhouse.spec("engine=={engine}"), wheelhouse.stack()
    return lock.find_or_make(wanted, recipe, PLATFORM, indexes, offline=offline, refresh=refresh, say=say)


def kept() -> list[Path]:
    """The locks in the cache."""
    return sorted((lock.cache_root() / "locks").glob("*"))


# --- bytes


def test_a_lock_is_canonical_json() -> None:
    package = LockedPackage(
        name="plain", version="2.0", file="plain-2.0-py3-none-any.whl", size=123, sha256=HASH, index="pypi"
    )
    made = Lock(python="3.11", platform=PLATFORM, packages=(package,))
    assert made.text() == GOLDEN
    assert made.digest == hashlib.sha256(GOLDEN.encode()).hexdigest()
    assert lock.parse(GOLDEN) == made
    assert (made.version("plain"), made.version("none")) == ("2.0", None)


def test_a_lock_names_every_file_with_its_hash_and_no_address_time_or_host(house: Wheelhouse, tmp_path: Path) -> None:
    with wheelhouse.served(house) as server:
        made = make(Indexes(addresses={"pypi": server.address}))
    found = [(package.name, package.version, package.index) for package in made.packages]
    assert found == [("engine", "1.0", "pypi"), ("plain", "1.0", "pypi")]
    for package in made.packages:
        assert package.sha256 == wheelhouse.sha256(house.root / "files" / package.file)
    (written,) = kept()
    assert written.read_text() == made.text()
    assert not any(word in made.text() for word in ("127.0.0.1", "://", str(tmp_path)))


def test_every_kind_of_index_gives_the_same_lock(house: Wheelhouse) -> None:
    """A mirror, a mirror's folder, a plain folder of wheels carried over: the lock is what was locked, not where."""
    with wheelhouse.served(house) as server:
        addresses = [server.address, server.address + "/", house.as_index, house.as_folder]
        locks = [make(Indexes(addresses={"pypi": address}), refresh=True) for address in addresses]
    assert len({made.text() for made in locks}) == 1
    assert len(kept()) == 1


SCRIPT = """
import sys
from tests.test_lock import make
from envctl.aliases import Indexes
make(Indexes(addresses={"pypi": sys.argv[1]}))
"""
SETTINGS = [
    ("077", {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "1"}),
    ("000", {"TZ": "America/Los_Angeles", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2", "HOSTNAME": "other"}),
]


def test_another_process_with_other_settings_writes_the_same_bytes(
    house: Wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {}
    for umask, variables in SETTINGS:
        monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path / umask))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        command = f'umask {umask}; exec "$0" -c "$1" "$2"'
        arguments = ["sh", "-c", command, sys.executable, SCRIPT, house.as_index]
        subprocess.run(arguments, check=True, cwd=Path(__file__).parent.parent)
        (path,) = (tmp_path / umask / "locks").iterdir()
        written[umask] = path.name, path.read_bytes(), path.stat().st_mode & 0o777
    assert written["077"] == written["000"]
    assert written["077"][2] == 0o644, "others may read it whatever the umask"


# --- kept


def test_a_kept_lock_is_used_without_index_or_network(house: Wheelhouse) -> None:
    first = make(wheelhouse.only(house))
    shutil.rmtree(house.root)
    said: list[str] = []
    assert make(wheelhouse.only(house), offline=True, said=said) == first
    assert said == [], "nothing was chosen again"


def test_refresh_chooses_again_and_only_then(house: Wheelhouse) -> None:
    make(wheelhouse.only(house))
    house.add("plain", "1.5")
    assert make(wheelhouse.only(house)).version("plain") == "1.0"
    assert make(wheelhouse.only(house), refresh=True).version("plain") == "1.5"
    assert make(wheelhouse.only(house)).version("plain") == "1.5"


def test_a_refresh_that_fails_leaves_the_kept_lock(house: Wheelhouse) -> None:
    first = make(wheelhouse.only(house))
    shutil.rmtree(house.root)
    with pytest.raises(HostLacks):
        make(wheelhouse.only(house), refresh=True)
    assert make(wheelhouse.only(house), offline=True) == first
    assert len(kept()) == 1


def test_another_question_gets_another_lock(house: Wheelhouse) -> None:
    house.add("plain", "0.9")
    house.add("engine", "2.0")
    make(wheelhouse.only(house))
    recipe = wheelhouse.spec("engine=={engine}")
    for wanted in (wheelhouse.stack(plain="<2"), wheelhouse.stack(python="3.12")):
        lock.find_or_make(wanted, recipe, PLATFORM, wheelhouse.only(house), offline=False, refresh=False, say=[].append)
    assert len(kept()) == 3


def test_a_constraint_of_the_stack_holds_below_the_engine(house: Wheelhouse) -> None:
    house.add("plain", "3.0")
    wanted, recipe = wheelhouse.stack(plain="<2"), wheelhouse.spec("engine=={engine}")
    made = lock.find_or_make(
        wanted, recipe, PLATFORM, wheelhouse.only(house), offline=False, refresh=False, say=[].append
    )
    assert made.version("plain") == "1.0"


def test_the_written_lock_is_what_was_given(tmp_path: Path) -> None:
    made = lock.parse(GOLDEN)
    lock.write(made, tmp_path / "deep" / "env.lock")
    assert json.loads((tmp_path / "deep" / "env.lock").read_text())["packages"][0]["sha256"] == HASH
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["env.lock"]
