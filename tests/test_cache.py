"""`envctl cache`: what lies there is listed with what uses it; old things go, and corrupt ones are found and remade."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from envctl import environment
from envctl.environment import Environment
from envctl.host import interpreters
from envctl.tree import cache_root
from envctl.workflow import cache
from tests import wheelhouse
from tests.conftest import Ran, run_envctl
from tests.wheelhouse import Wheelhouse

PYTHON, INTERPRETER = next(iter(interpreters().items()))
DAY = 86400
pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return wheelhouse.of_one(tmp_path / "house")


def make(house: Wheelhouse) -> Environment:
    """The environment of "engine", found or made."""
    locked = wheelhouse.lock_of(house, PYTHON)
    return environment.find_or_make(locked, INTERPRETER, wheelhouse.only(house), offline=False, say=[].append)


@pytest.fixture
def made(house: Wheelhouse) -> Environment:
    return make(house)


@pytest.fixture
def command(stand_ins: Path) -> Callable[..., Ran]:
    own = {name: str(stand_ins / name) for name in ("ENVCTL_CACHE", "UV_CACHE_DIR", "XDG_CONFIG_HOME")}

    def run(*arguments: str) -> Ran:
        return run_envctl("cache", *arguments, cwd=stand_ins, **own)

    return run


def age(path: Path, days: float) -> None:
    """Make an entry look as if nobody had used it for so long."""
    moment = time.time() - days * DAY
    for each in [path, *([path / "lock.json"] if path.is_dir() else [])]:
        os.utime(each, (moment, moment))


def names(kind: str) -> set[str]:
    return {entry.name for entry in cache.entries(kind)}


# --- ls


def test_entries_know_their_size_and_the_locks_that_use_them(made: Environment) -> None:
    (found,) = cache.entries("environments")
    (kept,) = cache.entries("locks")
    assert found.path == made.folder and found.users == (kept.path.stem,)
    files = [path for path in made.folder.rglob("*") if not path.is_dir()]
    assert found.size == sum({path.lstat().st_ino: path.lstat().st_size for path in files}.values())


def test_kinds_that_others_add_are_listed_by_themselves(made: Environment) -> None:
    used = made.lock.packages[0].sha256
    for name in (used, "ab" * 32):
        path = cache_root() / "store" / "wheels" / f"{name}.whl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
    found = {entry.name: (entry.size, bool(entry.users)) for entry in cache.entries("store/wheels")}
    assert found == {f"{used}.whl": (10, True), f"{'ab' * 32}.whl": (10, False)}


def test_the_command_lists_kinds_and_entries(made: Environment, command: Callable[..., Ran]) -> None:
    told = command("ls", "--entries")
    assert told.code == 0 and made.folder.name in told.out and "used by locks" in told.out
    data = command("ls", "--json").json
    assert data["size"] == sum(entry["size"] for entry in data["entries"])
    assert command("ls", "--kind", "nothing").code == 2


# --- prune


def test_what_nobody_used_goes_and_the_rest_stays(made: Environment, house: Wheelhouse) -> None:
    age(made.folder, 40)
    (kept,) = (cache_root() / "locks").iterdir()
    removed, busy = cache.prune(30 * DAY, 0, "", dry_run=False, say=[].append)
    assert ([entry.path for entry in removed], busy) == ([made.folder], [])
    assert not made.folder.exists() and kept.exists()
    assert [path for path in made.folder.parent.iterdir() if path.suffix != ".lock"] == []
    assert wheelhouse.works(make(house))


def test_finding_an_environment_is_a_use(made: Environment, house: Wheelhouse) -> None:
    age(made.folder, 40)
    make(house)
    assert cache.prune(30 * DAY, 0, "", dry_run=False, say=[].append)[0] == []


def test_the_last_used_of_each_kind_can_be_kept(command: Callable[..., Ran]) -> None:
    folder = cache_root() / "jobs"
    for days in range(4):
        (folder / f"job-{days}").mkdir(parents=True)
        (folder / f"job-{days}" / "job.json").touch()
        moment = time.time() - (50 + days) * DAY
        os.utime(folder / f"job-{days}", (moment, moment))
    dry = command("prune", "--older-than", "4w", "--keep", "3", "--dry-run")
    assert dry.code == 0 and "would remove jobs/job-3" in dry.out and len(names("jobs")) == 4
    assert command("prune", "--older-than", "4w", "--keep", "3").code == 0
    assert names("jobs") == {"job-0", "job-1", "job-2"}
    assert command("prune", "--older-than", "soon").code == 2


def test_what_is_being_made_is_left_alone(made: Environment) -> None:
    from filelock import FileLock

    partial = made.folder.with_name(f"{made.folder.name}.partial-abc")
    partial.mkdir()
    with FileLock(f"{made.folder}.lock"):
        removed, busy = cache.prune(0, 0, "environments", dry_run=False, say=[].append)
        assert removed == [] and {entry.path for entry in busy} == {partial, made.folder}
    removed, busy = cache.prune(0, 0, "environments", dry_run=False, say=[].append)
    assert {entry.path for entry in removed} == {partial, made.folder} and busy == []


def test_a_tree_that_is_kept_read_only_can_be_removed() -> None:
    tree = cache_root() / "store" / "trees" / "ab"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "file").write_text("x")
    for path in (tree / "deep" / "file", tree / "deep", tree):
        path.chmod(0o555)
    cache.prune(0, 0, "store/trees", dry_run=False, say=[].append)
    assert list(tree.parent.iterdir()) == []


def test_what_was_never_finished_goes_after_a_day(command: Callable[..., Ran]) -> None:
    """Also where other things stay for a month; not what somebody writes to, or holds the guard of."""
    from filelock import FileLock

    store = cache_root() / "store"
    left = [store / "wheels" / "wheels-abc", store / "wheels" / ".partial-x", store / "bases" / ".partial-k"]
    young = [store / "wheels" / "wheels-new", store / "trees" / ".partial-new"]
    for path in [*left, *young]:
        path.mkdir(parents=True)
        (path / "file").write_bytes(b"x")
    (store / "wheels" / f"{'a' * 64}.whl").write_bytes(b"x")
    two_days_ago = (time.time() - 2 * DAY,) * 2
    for path in left:
        os.utime(path / "file", two_days_ago)
        os.utime(path, two_days_ago)
    os.utime(young[0], two_days_ago)  # its file was written just now
    os.utime(store / "wheels" / f"{'a' * 64}.whl", two_days_ago)
    with FileLock(store / "bases" / ".lock-k"):
        told = command("prune", "--json").json
    assert {entry["name"] for entry in told["removed"]} == {"wheels-abc", ".partial-x"}
    assert [entry["name"] for entry in told["busy"]] == [".partial-k"]
    assert command("prune").code == 0 and not left[2].exists()
    assert all(path.exists() for path in young) and (store / "wheels" / f"{'a' * 64}.whl").exists()


# --- verify


def spoil_module(made: Environment) -> None:
    """In place: the file may be uv's own, and is one with what its cache has."""
    module = next(made.library.glob("*/site-packages/engine.py"))
    with module.open("r+b") as stream:
        stream.write(b"# spoiled\n")


def lose_module(made: Environment) -> None:
    next(made.library.glob("*/site-packages/engine.py")).unlink()


def lose_distribution(made: Environment) -> None:
    shutil.rmtree(next(made.library.glob("*/site-packages/*.dist-info")))


def cut_lock(made: Environment) -> None:
    path = made.folder / "lock.json"
    path.write_text(path.read_text()[:60])


@pytest.mark.parametrize("spoil", [spoil_module, lose_module, lose_distribution, cut_lock])
def test_a_corrupt_environment_is_found_and_made_again(
    made: Environment, house: Wheelhouse, command: Callable[..., Ran], spoil: Callable[[Environment], None]
) -> None:
    healthy = command("verify")
    assert healthy.code == 0 and " 0 corrupt" in healthy.out
    spoil(made)
    found = command("verify", "--json")
    assert found.code == 1
    assert [entry["name"] for entry in found.json["corrupt"]] == [made.folder.name]
    assert not made.folder.exists()
    assert wheelhouse.works(make(house)), "and not from what was spoiled in uv's cache"
    assert command("verify").code == 0


def test_a_corrupt_lock_and_a_file_that_is_not_what_its_name_says_are_removed(house: Wheelhouse) -> None:
    make(house)
    (kept,) = (cache_root() / "locks").iterdir()
    kept.write_text(kept.read_text().replace('"engine"', '"other"', 1))
    wheel = cache_root() / "store" / "wheels" / f"{'ab' * 32}.whl"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(b"something else")
    corrupt, _, _ = cache.verify("", say=[].append)
    assert {entry.path for entry, _ in corrupt} == {kept, wheel}
    assert not kept.exists() and not wheel.exists()


def test_what_another_envctl_made_is_not_called_corrupt(made: Environment) -> None:
    """Several versions of envctl share the user's cache."""
    (kept,) = (cache_root() / "locks").iterdir()
    for path in (kept, made.folder / "lock.json"):
        path.write_text(path.read_text().replace('"format": 2', '"format": 1'))
    corrupt, _, unchecked = cache.verify("", say=[].append)
    assert corrupt == [] and unchecked >= 2
    assert kept.exists() and made.folder.exists()
