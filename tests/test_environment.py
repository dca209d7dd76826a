"""Environments: found again, made anew when something broke, and fit for any folder (wheels: tests/wheelhouse.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from envctl import environment, lock
from envctl.aliases import Indexes
from envctl.environment import Environment, interpreter_for
from envctl.errors import HostLacks
from envctl.host import interpreters
from envctl.lock import Lock
from tests import wheelhouse
from tests.wheelhouse import Wheelhouse, names

PYTHON, INTERPRETER = next(iter(interpreters().items()))
pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return wheelhouse.of_one(tmp_path / "house")


@pytest.fixture
def made(house: Wheelhouse) -> Lock:
    return wheelhouse.lock_of(house, PYTHON)


def make(made: Lock, indexes: Indexes, said: list[str] | None = None, interpreter: Path = INTERPRETER) -> Environment:
    """The environment of a lock."""
    say = (said if said is not None else []).append
    return environment.find_or_make(made, interpreter, indexes, offline=False, say=say)


# --- found again


def test_a_folder_that_was_arranged_otherwise_is_not_taken(
    made: Lock, house: Wheelhouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(environment, "LAYOUT", environment.LAYOUT - 1)
        older = make(made, wheelhouse.only(house))
    newer = make(made, wheelhouse.only(house))
    assert older.folder != newer.folder and older.folder.is_dir() and wheelhouse.works(newer)


def test_a_finished_environment_is_found_without_index_or_guard(made: Lock, house: Wheelhouse) -> None:
    first = make(made, wheelhouse.only(house))
    assert wheelhouse.works(first)
    assert (first.folder / "lock.json").read_text() == made.text()
    for guard in first.folder.parent.glob("*.lock"):
        guard.unlink()
    said: list[str] = []
    found = make(made, Indexes(addresses={"pypi": "http://127.0.0.1:9/"}), said)
    assert (found.folder, said) == (first.folder, [])
    assert list(first.folder.parent.glob("*.lock")) == []


def test_another_lock_or_interpreter_is_another_environment(made: Lock, house: Wheelhouse, tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(INTERPRETER)
    house.add("other", "1.0")
    wanted, recipe = wheelhouse.stack(PYTHON), wheelhouse.spec("engine", "other")
    indexes = wheelhouse.only(house)
    wider = lock.find_or_make(wanted, recipe, made.platform, indexes, offline=False, refresh=False, say=[].append)
    found = [make(made, indexes), make(wider, indexes), make(made, indexes, interpreter=tmp_path / "python")]
    assert len({each.folder for each in found}) == 3


# --- broken and made anew


def dangle(found: Environment) -> None:
    """The interpreter that it links to was removed."""
    found.python.unlink()
    found.python.symlink_to("/nowhere/python")


def forget(found: Environment) -> None:
    """Its last file is missing."""
    (found.folder / "lock.json").unlink()


@pytest.mark.parametrize("break_it", [dangle, forget], ids=["dangling interpreter", "no lock inside"])
def test_a_broken_environment_is_made_anew(
    made: Lock, house: Wheelhouse, break_it: Callable[[Environment], None]
) -> None:
    first = make(made, wheelhouse.only(house))
    (first.folder / "left-over").touch()
    break_it(first)
    said: list[str] = []
    again = make(made, wheelhouse.only(house), said)
    assert again.folder == first.folder and wheelhouse.works(again)
    assert len(said) == 1 and "making an environment" in said[0]
    assert not (again.folder / "left-over").exists()


def test_an_interpreter_that_is_none_is_one_clear_error(made: Lock, house: Wheelhouse, tmp_path: Path) -> None:
    with pytest.raises(HostLacks, match="could not make a virtual environment"):
        make(made, wheelhouse.only(house), interpreter=tmp_path / "no-python")
    assert names() == []


def test_a_python_that_is_not_here_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(HostLacks, match=r"no CPython 3\.2 on this machine") as caught:
        interpreter_for("3.2", {"3.11": Path("/usr/bin/python3.11")})
    assert "3.11" in caught.value.because[0].text and "uv python install 3.2" in caught.value.do


# --- what it holds


def test_scripts_find_their_interpreter_wherever_the_folder_is(made: Lock, house: Wheelhouse, tmp_path: Path) -> None:
    """It is made under another name than it ends up with, and mounted elsewhere in containers."""
    first = make(made, wheelhouse.only(house))
    moved = Environment(lock=made, folder=tmp_path / "moved here")
    first.folder.rename(moved.folder)
    assert wheelhouse.works(moved)
    scripts = [path for path in (moved.folder / "venv" / "bin").iterdir() if path.name == "engine"]
    assert [path for path in scripts if str(first.folder).encode() in path.read_bytes()] == []
    assert [path for path in scripts if b".partial" in path.read_bytes()] == []


def test_bytecode_is_there_for_folders_mounted_read_only(made: Lock, house: Wheelhouse) -> None:
    found = make(made, wheelhouse.only(house))
    assert list(found.library.glob("*/site-packages/__pycache__/engine.*.pyc"))
