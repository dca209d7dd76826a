"""What shuts a local worker in: tried from inside, and compared with what the worker reports of itself."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from envctl.job import Job, Limits, Result
from envctl.runner import WORKER
from envctl.runner.local import LocalRunner
from tests import echoing
from tests.echoing import NEWEST, PYTHONS, job

pytestmark = pytest.mark.engines
every_python = pytest.mark.parametrize("python", PYTHONS)


def run(made: Job, python: str = NEWEST) -> Result:
    """What comes of a job in its own process."""
    return LocalRunner().run(made, echoing.with_numpy(python))


def processes(word: str | Path) -> list[str]:
    """The command lines of processes that have that word in them."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().decode(errors="replace") if entry.name.isdigit() else ""
        except OSError:
            continue
        if str(word) in line:
            found.append(line)
    return found


def gone(word: str | Path) -> bool:
    """Whether those processes have ended, or do so within the time that the kernel takes to bury them."""
    for _ in range(200):
        if not processes(word):
            return True
        time.sleep(0.02)
    return False


# --- time


@every_python
def test_the_time_cap_ends_the_worker(tmp_path: Path, python: str) -> None:
    made = job(tmp_path, do="sleep", seconds=600, limits=Limits(memory=2 << 30, seconds=1))
    result = run(made, python)
    assert (result.status, result.message) == ("timeout", "stopped after 1 s")
    assert gone(made.folder)


def test_the_time_cap_ends_whatever_the_worker_started(tmp_path: Path) -> None:
    made = job(tmp_path, do="fork", count=3, seconds=600, limits=Limits(memory=2 << 30, seconds=1))
    assert run(made).status == "timeout"
    assert gone(made.folder)


def test_what_a_worker_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    made = job(tmp_path, do="fork", count=3)
    assert run(made).ok
    assert gone(made.folder)


def test_stop_ends_a_worker_from_another_thread_and_lets_no_other_start(tmp_path: Path) -> None:
    runner, environment, found = LocalRunner(), echoing.with_numpy(NEWEST), []
    (tmp_path / "next").mkdir()
    made, later = job(tmp_path, do="sleep", seconds=600), job(tmp_path / "next")
    thread = threading.Thread(target=lambda: found.append(runner.run(made, environment)))
    thread.start()
    while not (made.folder / "worker.log").exists():
        assert thread.is_alive()
    runner.stop()
    thread.join()
    assert found[0].status == "killed" and "SIGKILL" in found[0].message
    assert runner.run(later, environment).status == "killed"


# --- files


@every_python
def test_the_job_folder_is_the_only_place_to_write(tmp_path: Path, python: str) -> None:
    """Outside it is refused, or the report says that it is not."""
    outside = tmp_path / "outside.txt"
    result = run(job(tmp_path, do="write", path=str(outside)), python)
    confined = not result.sandbox["writes"].startswith("not")
    assert outside.exists() == (not confined)
    assert result.ok == (not confined)
    if confined:
        assert "PermissionError" in result.message


@pytest.fixture
def confined(tmp_path: Path) -> None:
    """Skip where the kernel has no Landlock; that the worker says so is tested above."""
    (tmp_path / "try").mkdir()
    if run(job(tmp_path / "try")).sandbox["writes"].startswith("not"):
        pytest.skip("this kernel does not confine writes")


@pytest.mark.usefixtures("confined")
def test_what_a_worker_reads_cannot_be_changed_by_it(tmp_path: Path) -> None:
    """Neither the model, nor the environment, nor the worker's own code."""
    inside = next(echoing.with_numpy(NEWEST).library.glob("*/site-packages/numpy/__init__.py"))
    for target in (tmp_path / "model.json", inside, WORKER / "failure.py"):
        for deed in ("write", "truncate", "remove"):
            shutil.rmtree(tmp_path / "job", ignore_errors=True)
            made = job(tmp_path, do=deed, path=str(target))
            before = target.read_bytes()
            result = run(made)
            assert not result.ok and "PermissionError" in result.message, (target, deed)
            assert target.read_bytes() == before


@pytest.mark.usefixtures("confined")
def test_a_link_out_of_the_job_folder_is_no_way_out(tmp_path: Path) -> None:
    made = job(tmp_path, do="write", path=str(tmp_path / "job" / "link" / "written"))
    (tmp_path / "elsewhere").mkdir()
    (made.folder / "link").symlink_to(tmp_path / "elsewhere")
    assert not run(made).ok
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_inside_the_job_folder_writing_works(tmp_path: Path) -> None:
    made = job(tmp_path, do="write", path=str(tmp_path / "job" / "written.txt"))
    assert run(made).ok
    assert (made.folder / "written.txt").read_text() == "written by a worker"


# --- network


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """A socket that listens on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


def knocked(server: socket.socket) -> bool:
    """Whether somebody has connected."""
    try:
        server.accept()[0].close()
    except TimeoutError:
        return False
    return True


@every_python
def test_a_worker_reaches_no_socket_or_says_that_it_can(tmp_path: Path, door: socket.socket, python: str) -> None:
    host, port = door.getsockname()
    socket.create_connection((host, port)).close()
    assert knocked(door), "the door is there"
    result = run(job(tmp_path, do="connect", host=host, port=port), python)
    open_to_it = result.sandbox["network"].startswith("not")
    assert knocked(door) == open_to_it
    assert result.ok == open_to_it
    if not open_to_it:
        assert result.status == "engine-error" and "Error" in result.message


@every_python
def test_a_worker_reaches_no_local_socket_or_says_that_it_can(tmp_path: Path, python: str) -> None:
    """Docker's own socket is one: whoever may open it is root."""
    path = tmp_path / "door"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()
        door.settimeout(0.2)
        result = run(job(tmp_path, do="connect-local", path=str(path)), python)
        open_to_it = result.sandbox["local sockets"].startswith("not")
        assert knocked(door) == open_to_it
    assert result.ok == open_to_it
    if not open_to_it:
        assert "PermissionError" in result.message


# --- the report


def test_a_network_namespace_is_reported_where_there_is_one(tmp_path: Path) -> None:
    """Seen from outside while the worker sleeps: its network is another one than ours, or it does not say so."""
    runner, environment, found = LocalRunner(), echoing.with_numpy(NEWEST), []
    made, seen = job(tmp_path, do="sleep", seconds=0.5), set()
    thread = threading.Thread(target=lambda: found.append(runner.run(made, environment)))
    thread.start()
    while thread.is_alive():
        with contextlib.suppress(OSError):
            seen |= {os.readlink(f"/proc/{process.pid}/ns/net") for process in list(runner.running)}  # noqa: PTH115
    own = bool(seen - {os.readlink("/proc/self/ns/net")})  # noqa: PTH115
    assert (found[0].sandbox["network"] == "none (own namespace)") == own


def test_the_report_names_every_part_of_the_sandbox(tmp_path: Path) -> None:
    result = run(job(tmp_path, limits=Limits(memory=700 << 20, seconds=60)))
    assert set(result.sandbox) == {"by", "memory", "network", "local sockets", "processes", "writes"}
    assert result.sandbox["by"] == "worker"
    assert result.sandbox["memory"] == f"{700 << 20} bytes (RLIMIT_DATA)"
    assert ("root is exempt" in result.sandbox["processes"]) == (os.getuid() == 0)


# --- done again by hand


@pytest.mark.parametrize("folder", ["plain", "with space", 'it\'s "quoted" $HOME'])
def test_reproduce_really_does_a_failed_job_again(tmp_path: Path, folder: str) -> None:
    """From another folder and shell, with the same answer."""
    (tmp_path / folder).mkdir()
    made = job(tmp_path / folder, given=["z"])
    first = run(made)
    assert first.status == "invalid-model"
    before = (made.folder / "result.json").read_text()
    for left in ("result.json", "worker.log"):
        (made.folder / left).unlink()
    noise = {**os.environ, "PYTHONPATH": "/nowhere", "LD_LIBRARY_PATH": "/nowhere"}
    done = subprocess.run([made.folder / "reproduce.sh"], cwd="/", env=noise, check=False, capture_output=True)
    assert done.returncode == 0, done
    assert said((made.folder / "result.json").read_text()) == said(before)
    assert "StepFailed" in (made.folder / "worker.log").read_text()


def said(text: str) -> str:
    """An answer without what was measured, and without the number of processes, which others change."""
    answer = json.loads(text)
    del answer["sandbox"]["processes"]
    return json.dumps({name: answer[name] for name in ("status", "message", "sandbox", "outputs")}, sort_keys=True)


def test_reproduce_dies_as_the_job_did(tmp_path: Path) -> None:
    made = job(tmp_path, do="die")
    assert run(made).status == "killed"
    done = subprocess.run([made.folder / "reproduce.sh"], check=False, capture_output=True)
    assert done.returncode == -11


def test_reproduce_takes_nothing_of_the_shell_it_is_called_from(tmp_path: Path) -> None:
    made = job(tmp_path, do="sleep", seconds=60, limits=Limits(memory=2 << 30, seconds=1))
    assert run(made).status == "timeout"
    with subprocess.Popen([made.folder / "reproduce.sh"], env={**os.environ, "STRAY": "1"}) as again:
        folder = Path(f"/proc/{again.pid}")
        while not (folder / "cmdline").read_bytes().split(b"\0")[0].endswith(b"/python"):
            assert again.poll() is None
        variables = (folder / "environ").read_text()
        again.kill()
    assert "PATH=" in variables and "STRAY" not in variables
