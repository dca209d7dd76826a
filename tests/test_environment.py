"""Environments: whole or not there, made once by makers that start together, made anew when something broke.

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

from envctl import environment, lock
from envctl.environment import Environment, interpreter_for
from envctl.errors import HostLacks
from envctl.host import interpreters
from envctl.index import Indexes
from envctl.lock import Lock
from tests import wheelhouse
from tests.wheelhouse import Server, Wheelhouse

ROOT = Path(__file__).resolve().parent.parent
PYTHON, INTERPRETER = next(iter(interpreters().items()))
MAKER = """
import sys
from pathlib import Path
from envctl import environment, lock
from envctl.errors import EnvctlError
from envctl.index import Indexes

made, interpreter, address = sys.argv[1:]
say = lambda text: print(text, flush=True)
try:
    found = environment.find_or_make(
        lock.parse(Path(made).read_text()), Path(interpreter), Indexes(addresses={"pypi": address}), offline=False, say=say
    )
    print("made", found.folder)
except EnvctlError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins must not fill the caches that real packages live in."""
    for name in ("ENVCTL_CACHE", "UV_CACHE_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    """One package, large enough to fill a small disk."""
    made = Wheelhouse(tmp_path / "house")
    made.add("engine", "1.0", says="hello from the environment" + "." * 300_000)
    return made


@pytest.fixture
def made(house: Wheelhouse) -> Lock:
    """The lock of engine 1.0."""
    wanted, recipe = wheelhouse.stack(PYTHON), wheelhouse.spec("engine")
    platform, indexes = "x86_64-manylinux_2_28", wheelhouse.only(house)
    return lock.find_or_make(wanted, recipe, platform, indexes, offline=False, refresh=False, say=[].append)


def make(made: Lock, indexes: Indexes, said: list[str] | None = None, interpreter: Path = INTERPRETER) -> Environment:
    """The environment of a lock."""
    say = (said if said is not None else []).append
    return environment.find_or_make(made, interpreter, indexes, offline=False, say=say)


def there() -> list[str]:
    """The names of all environments, finished or not."""
    folder = lock.cache_root() / "environments"
    return sorted(path.name for path in folder.glob("*") if path.suffix != ".lock")


def works(made: Environment) -> bool:
    """Whether its interpreter imports what was installed, and its script runs."""
    command = [made.python, "-I", "-c", "import engine; print(engine.SAYS[:5])"]
    scripts = [made.python.parent / "engine"]
    printed = [subprocess.run(each, capture_output=True, text=True, check=True).stdout for each in (command, scripts)]
    return all(text.startswith("hello") for text in printed)


# --- found again


def test_a_finished_environment_is_found_without_index_or_guard(made: Lock, house: Wheelhouse) -> None:
    first = make(made, wheelhouse.only(house))
    assert works(first)
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
def test_a_broken_environment_is_made_anew(made: Lock, house: Wheelhouse, break_it: object) -> None:
    assert callable(break_it)
    first = make(made, wheelhouse.only(house))
    (first.folder / "left-over").touch()
    break_it(first)
    said: list[str] = []
    again = make(made, wheelhouse.only(house), said)
    assert again.folder == first.folder and works(again)
    assert len(said) == 1 and "making an environment" in said[0]
    assert not (again.folder / "left-over").exists()


def test_an_interpreter_that_is_none_is_one_clear_error(made: Lock, house: Wheelhouse, tmp_path: Path) -> None:
    with pytest.raises(HostLacks, match="could not make a virtual environment"):
        make(made, wheelhouse.only(house), interpreter=tmp_path / "no-python")
    assert there() == []


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
    assert works(moved)
    scripts = [path for path in (moved.folder / "venv" / "bin").iterdir() if path.name == "engine"]
    assert [path for path in scripts if str(first.folder).encode() in path.read_bytes()] == []
    assert [path for path in scripts if b".partial" in path.read_bytes()] == []


def test_the_container_s_side_names_the_base_s_interpreter_and_no_path_of_this_host(
    made: Lock, house: Wheelhouse, tmp_path: Path
) -> None:
    found = make(made, wheelhouse.only(house))
    scripts = found.folder / "container" / "bin"
    links = {path.name: os.readlink(path) for path in scripts.iterdir() if path.is_symlink()}
    assert links == {"python": f"/usr/bin/python{PYTHON}", "python3": "python", f"python{PYTHON}": "python"}
    assert {path.name for path in scripts.iterdir()} == {*links, "engine"}
    config = (found.folder / "container" / "pyvenv.cfg").read_text()
    for text in (config, (scripts / "engine").read_text()):
        assert str(tmp_path) not in text and str(INTERPRETER) not in text


def test_bytecode_is_there_for_folders_mounted_read_only(made: Lock, house: Wheelhouse) -> None:
    found = make(made, wheelhouse.only(house))
    assert list(found.library.glob("*/site-packages/__pycache__/engine.*.pyc"))


def test_others_may_read_it_whatever_the_umask(made: Lock, house: Wheelhouse, tmp_path: Path) -> None:
    """A container's worker is another user where root calls envctl."""
    arguments = command(made, wheelhouse.only(house).addresses["pypi"], tmp_path)
    subprocess.run(["sh", "-c", 'umask 077; exec "$@"', "sh", *arguments], check=True, capture_output=True)
    (name,) = there()
    folder = lock.cache_root() / "environments" / name
    closed = [
        path for path in [folder, *folder.rglob("*")] if not path.is_symlink() and not path.stat().st_mode & 0o004
    ]
    assert closed == []


# --- several makers, killed makers, full disks


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
    (name,) = there()
    folder = lock.cache_root() / "environments" / name
    assert said[0].startswith("making an environment of 1 packages")
    assert said[1:] == [f"made {folder}"] * 2
    assert works(Environment(lock=made, folder=folder))
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
    assert there() and all(".partial" in name for name in there()), there()
    held.release.set()
    with maker(arguments) as next_one:
        assert line(next_one).startswith("making an environment")
        assert line(next_one).startswith("made ")
    (name,) = there()
    assert ".partial" not in name, "the next maker removes what the killed one left"
    assert works(Environment(lock=made, folder=lock.cache_root() / "environments" / name))


def test_the_one_who_waits_makes_it_when_the_first_is_killed(made: Lock, held: Server, tmp_path: Path) -> None:
    arguments = command(made, held.address, tmp_path)
    with maker(arguments) as killed, maker_after(held, arguments) as other:
        assert line(other).startswith("waiting")
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        held.release.set()
        assert line(other).startswith("making an environment")
        assert line(other).startswith("made ")
    (name,) = there()
    assert works(Environment(lock=made, folder=lock.cache_root() / "environments" / name))


UNSHARE = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
FULL = 'mount -t tmpfs -o size="$1" none "$2" || exit 99; there=$2; shift 2; "$@"; find "$there" -mindepth 1 -name "*.partial*"'


@pytest.mark.parametrize("size", ["16k", "200k", "400k"])
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
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("HostLacks") and "no space left" in lines[-1], done
    assert there() == []
