"""`envctl base make`: the same bits each time, no trace of this host, and nothing left of a making that was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from envctl.oci.base_image import BaseImage
from envctl.oci.bases import newest, store, stored_base
from envctl.oci.debian import is_removed
from tests.conftest import Ran, run_envctl


def make(suite: str, cache: Path, **variables: str) -> Ran:
    return run_envctl("base", f"debian:{suite}", "--python", "--json", ENVCTL_CACHE=str(cache), **variables)


def check_tree(base: BaseImage) -> None:
    """What a base must be: without traces of this host, and with bytecode that its interpreter takes."""
    bytecode = 0
    with tarfile.open(fileobj=_Reader(base.layers[0].tar()), mode="r|") as archive:  # type: ignore[call-overload]
        names = []
        for member in archive:
            names.append(member.name)
            assert member.mtime == 0 and not member.isdev() and not is_removed(member.name), member.name
            if member.name.endswith(".pyc"):
                content = archive.extractfile(member)
                # PEP 552: by hash, and not compared with the source
                assert content and content.read(8)[4] == 1, f"{member.name} could be compiled again at each import"
                bytecode += 1
    assert bytecode > 100 and names == sorted(names)
    assert {"libc6", "libstdc++6"} <= {package.name for package in base.packages}


class _Reader:
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks, self.rest = chunks, b""

    def read(self, size: int) -> bytes:
        while len(self.rest) < size and (chunk := next(self.chunks, b"")):
            self.rest += chunk
        data, self.rest = self.rest[:size], self.rest[size:]
        return data


@pytest.mark.docker
def test_the_base_made_here_has_no_trace_of_this_host(docker_base: str) -> None:
    if not newest("debian:bookworm"):
        assert run_envctl("base", "debian:bookworm").code == 0
    base = stored_base(newest("debian:bookworm"))
    assert base and base.python.startswith("3.11.") and docker_base
    check_tree(base)


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie"])
def test_two_makings_are_the_same_bits(suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other time zone, locale, hash seed, umask; no daemon has a part in it."""
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    first = make(suite, tmp_path / "1", **nowhere)
    assert first.code == 0 and first.json["id"] is None and "no Docker daemon" in first.err, first.err
    mask = os.umask(0o077)
    try:
        second = make(suite, tmp_path / "2", TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7", GZIP="-9", **nowhere)
    finally:
        os.umask(mask)
    assert first.json == second.json
    monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path / "2"))
    base = stored_base(first.json["digest"])
    assert base and [each.diff_id for each in base.layers] == first.json["diff_ids"]
    check_tree(base)


class Making:
    """`envctl base` that has come as far as running programs inside its tree, with what the host has mounted."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.temporary = folder / "cache", folder / "tmp"
        self.temporary.mkdir(mode=0o1777)
        variables = {**os.environ, "ENVCTL_CACHE": str(self.cache), "TMPDIR": str(self.temporary)}
        command = [sys.executable, "-m", "envctl", "base", "debian:trixie"]
        self.process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, stdout=subprocess.PIPE)

    def mmdebstraps(self) -> list[int]:
        """The processes of mmdebstrap and of what it runs, outermost first."""
        command = ["ps", "-o", "pid=", "--sid", str(self._session())]
        return sorted(int(pid) for pid in subprocess.run(command, capture_output=True, check=True).stdout.split())

    def _session(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next(int(child) for child in children if os.getsid(int(child)) == int(child))

    def trees(self) -> list[Path]:
        return [path for path in self.temporary.glob("*/mmdebstrap.*") if (path / "usr").is_dir()]

    def mounts_inside(self) -> bool:
        """Whether mmdebstrap sees mounts below its folder: what could be left behind is there."""
        with suppress(OSError, StopIteration, subprocess.CalledProcessError):
            return any(str(self.temporary) in _mounts(str(pid)) for pid in self.mmdebstraps())
        return False

    def mounted(self) -> list[str]:
        """What this host has mounted below its folder."""
        return [line for line in _mounts("self").splitlines() if str(self.temporary) in line]


def _mounts(pid: str) -> str:
    return Path(f"/proc/{pid}/mounts").read_text()


@pytest.fixture
def making(tmp_path: Path, until: Callable[[Callable[[], bool]], None]) -> Iterator[Making]:
    found = Making(tmp_path)
    until(found.mounts_inside)
    yield found
    found.process.kill()
    found.process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_making_that_is_stopped_leaves_nothing(number: signal.Signals, making: Making) -> None:
    assert making.mounted() == []
    making.process.send_signal(number)
    assert making.process.wait(timeout=120) == 130
    assert making.mounted() == [] and list(making.temporary.iterdir()) == []
    left = [path.name for path in making.cache.rglob("*") if path.is_file()]
    assert [name for name in left if not name.startswith(".lock-")] == []


@pytest.mark.slow
def test_a_making_whose_mmdebstrap_is_killed_leaves_nothing(making: Making) -> None:
    """The mounts end with the namespace; removing the folder did not walk into the host's /sys, /proc or /dev."""
    os.kill(making.mmdebstraps()[0], signal.SIGKILL)
    assert making.process.wait(timeout=120) == 4
    assert making.mounted() == [] and list(making.temporary.iterdir()) == []
    assert Path("/dev/null").is_char_device() and Path("/dev/pts/ptmx").exists() and Path("/sys/kernel").is_dir()


@pytest.mark.slow
def test_a_making_that_is_killed_leaves_no_mounts(making: Making, until: Callable[[Callable[[], bool]], None]) -> None:
    """SIGKILL of envctl and of all that it started: what lies there are plain files, which are safe to remove."""
    started = making.mmdebstraps()
    making.process.kill()
    os.killpg(started[0], signal.SIGKILL)
    until(lambda: not any(_runs(pid) for pid in started))
    assert making.mounted() == [] and len(making.trees()) == 1
    (tree,) = making.trees()
    assert {path.stat().st_dev for path in tree.iterdir()} == {making.temporary.stat().st_dev}
    assert list((tree / "sys").iterdir()) == [] and list((tree / "proc").iterdir()) == []


def _runs(pid: int) -> bool:
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait for something, a minute at most."""

    def wait(happened: Callable[[], bool]) -> None:
        for _ in range(600):
            if happened():
                return
            time.sleep(0.1)
        raise AssertionError("it did not happen in a minute")

    return wait


@pytest.mark.slow
def test_a_mirror_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    ran = run_envctl(
        "base", "debian:trixie", "--mirror", "http://127.0.0.1:1/debian", "--json", ENVCTL_CACHE=str(tmp_path)
    )
    assert ran.code == 4
    error = json.loads(ran.out)["error"]
    assert error["what"] == "could not make debian:trixie" and any("--mirror" in step for step in error["do"])
    assert not list(store().glob(".partial-*/index.json"))
