"""Makers of environments: together, killed, out of disk: one whole environment, or one clear error and nothing.

The wheels are stand-ins (tests/wheelhouse.py), so that an environment takes a blink and its index can be held back.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from envctl import lock
from envctl.environment import Environment
from envctl.host import interpreters
from envctl.lock import Lock
from tests import wheelhouse
from tests.wheelhouse import Server, Wheelhouse, names

ROOT = Path(__file__).resolve().parent.parent
PYTHON, INTERPRETER = next(iter(interpreters().items()))
MAKER = """
import sys
from pathlib import Path
from envctl import environment, lock
from envctl.errors import EnvctlError
from envctl.aliases import Indexes

made, interpreter, address = sys.argv[1:]
say = lambda text: print(text, flush=True)
try:
    wanted, indexes = lock.parse(Path(made).read_text()), Indexes(addresses={"pypi": address})
    found = environment.find_or_make(wanted, Path(interpreter), indexes, offline=False, say=say)
    print("made", found.folder)
except EnvctlError as error:
    print(type(error).__name__, error)
"""

pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return wheelhouse.of_one(tmp_path / "house")


@pytest.fixture
def made(house: Wheelhouse) -> Lock:
    return wheelhouse.lock_of(house, PYTHON)


def command(made: Lock, address: str, tmp_path: Path) -> list[str]:
    """The command line of a maker."""
    (tmp_path / "made.lock").write_text(made.text())
    return [sys.executable, "-c", MAKER, str(tmp_path / "made.lock"), str(INTERPRETER), address]


@contextmanager
def maker(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A maker at work; killed at the end of the block, should it still be there."""
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """The next line that a maker prints."""
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.fixture
def held(house: Wheelhouse) -> Iterator[Server]:
    """The index, which holds the wheel back until it is released."""
    with wheelhouse.served(house) as server:
        server.held = "/files/"
        yield server


def test_of_two_makers_one_makes_and_one_waits(made: Lock, held: Server, tmp_path: Path) -> None:
    arguments = command(made, held.address, tmp_path)
    with maker(arguments) as one, maker_after(held, arguments) as other:
        assert line(other).startswith("waiting for another envctl")
        held.release.set()
        said = [line(one), line(one), line(other)]
    (name,) = names()
    folder = lock.cache_root() / "environments" / name
    assert said[0].startswith("making an environment of 1 packages")
    assert said[1:] == [f"made {folder}"] * 2
    assert wheelhouse.works(Environment(lock=made, folder=folder))
    assert sum(path.startswith("/files/") for path in held.asked) == 1, "the wheel was fetched once"


@contextmanager
def maker_after(held: Server, arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A maker that starts when the one before it is half-way."""
    assert held.reached.wait(60)
    with maker(arguments) as process:
        yield process


def test_a_maker_killed_half_way_leaves_nothing_that_looks_finished(made: Lock, held: Server, tmp_path: Path) -> None:
    arguments = command(made, held.address, tmp_path)
    with maker(arguments) as killed:
        assert held.reached.wait(60)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert names() and all(".partial" in name for name in names()), names()
    held.release.set()
    with maker(arguments) as next_one:
        assert line(next_one).startswith("making an environment")
        assert line(next_one).startswith("made ")
    (name,) = names()
    assert ".partial" not in name, "the next maker removes what the killed one left"
    assert wheelhouse.works(Environment(lock=made, folder=lock.cache_root() / "environments" / name))


def test_the_one_who_waits_makes_it_when_the_first_is_killed(made: Lock, held: Server, tmp_path: Path) -> None:
    arguments = command(made, held.address, tmp_path)
    with maker(arguments) as killed, maker_after(held, arguments) as other:
        assert line(other).startswith("waiting")
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        held.release.set()
        assert line(other).startswith("making an environment")
        assert line(other).startswith("made ")
    (name,) = names()
    assert wheelhouse.works(Environment(lock=made, folder=lock.cache_root() / "environments" / name))


UNSHARE = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
# a small file system on a folder, a command, and then whatever unfinished environment is left there
FULL = 'mount -t tmpfs -o size="$1" none "$2" || exit 99; at=$2; shift 2; "$@"; find "$at" -name "*-*" -type d'


@pytest.mark.parametrize("size", ["16k", "200k", "400k", "600k"])
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(
    made: Lock, house: Wheelhouse, tmp_path: Path, size: str
) -> None:
    """Full before the virtual environment is there, inside it, and while the package is unpacked."""
    folder = lock.cache_root() / "environments"
    folder.mkdir()
    arguments = command(made, house.as_index, tmp_path)
    mounting = [*UNSHARE, "sh", "-c", FULL, "sh", size, str(folder)]
    done = subprocess.run([*mounting, *arguments], capture_output=True, text=True, check=False)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("this kernel gives no mount namespace to this user")
    last = done.stdout.splitlines()[-1]
    assert last.startswith("HostLacks") and "no space left" in last, done


def test_others_may_read_it_whatever_the_umask(made: Lock, house: Wheelhouse, tmp_path: Path) -> None:
    """A container's worker is another user where root calls envctl."""
    arguments = command(made, wheelhouse.only(house).addresses["pypi"], tmp_path)
    subprocess.run(["sh", "-c", 'umask 077; exec "$@"', "sh", *arguments], check=True, capture_output=True)
    (name,) = names()
    folder = lock.cache_root() / "environments" / name
    paths = [path for path in [folder, *folder.rglob("*")] if not path.is_symlink()]
    assert [path for path in paths if not path.stat().st_mode & (0o005 if path.is_dir() else 0o004)] == []
