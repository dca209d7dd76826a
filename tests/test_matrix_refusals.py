"""`envctl matrix update` behind an index that is not to be believed, or is out of reach, or while it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envctl.errors import BadInput, HostLacks
from envctl.workflow import refresh
from tests import wheelhouse
from tests.conftest import ROOT, Ran
from tests.matrix_world import ENGINE, TAG, World, make, runner
from tests.wheelhouse import Server


@pytest.fixture
def world(stand_ins: Path) -> World:
    return make(stand_ins)


@pytest.fixture
def run(world: World, envctl: Callable[..., Ran]) -> Callable[..., Ran]:
    return runner(world, envctl)


def nothing(world: World) -> None:
    for path in (world.house.root / "files").glob("engine-*"):
        path.unlink()
    world.house.publish("engine")


def few(world: World) -> None:
    (world.house.root / "files" / f"engine-1.0-{TAG}.whl").unlink()
    world.house.publish("engine")
    more = "".join(row(f"0.{number}") for number in range(9, 0, -1))
    world.file.write_text(ENGINE + more)


def row(version: str) -> str:
    return f'\n[[release]]\nversion = "{version}"\nsource = "pypi:engine=={version}"\nchecked = 2026-01-01\n' + (
        'evidence = "metadata"\n'
    )


def old(world: World) -> None:
    (world.house.root / "files" / f"engine-2.0-{TAG}.whl").unlink()
    for version in ("1.1", "1.2", "1.3", "1.4"):
        world.house.add("engine", version, tag=TAG)


def unknown(world: World) -> None:
    page = world.house.root / "simple" / "engine" / "index.html"
    page.rename(page.with_name("gone"))


def garbage(world: World) -> None:
    (world.house.root / "simple" / "engine" / "index.html").write_text("please log in")


def spoiled(world: World) -> None:
    (world.house.root / "files" / f"engine-2.0-{TAG}.whl").write_bytes(b"half of a wheel")


REFUSED = {
    nothing: "it has no engine",
    unknown: "it has no engine",
    few: "it has 1 of the 11 releases of engine that the matrix took from it",
    old: "its newest engine is 1.4, the matrix has 2.0",
    garbage: "neither JSON nor HTML",
    spoiled: "not a zip file",
}


@pytest.mark.parametrize("fault", REFUSED, ids=lambda fault: fault.__name__)
def test_a_doubtful_index_is_refused(world: World, fault: Callable[[World], None]) -> None:
    fault(world)
    with pytest.raises(HostLacks) as caught:
        world.update()
    assert any(REFUSED[fault] in reason.text for reason in caught.value.because), caught.value.as_data()
    assert caught.value.code == 4


def test_nothing_is_written_when_one_of_several_is_refused(world: World, run: Callable[..., Ran]) -> None:
    (world.folder / "zebra.toml").write_text(ENGINE.replace('"engine"', '"zebra"').replace("engine==", "zebra=="))
    ran = run("update")
    assert ran.code == 4
    assert "suspiciously little about zebra; nothing was written" in ran.err
    assert world.file.read_text() == ENGINE
    assert run("update", "engine").code == 0
    assert world.file.read_text() != ENGINE


def test_an_index_out_of_reach_is_4(world: World, run: Callable[..., Ran]) -> None:
    for command in (("check", "--index"), ("update",)):
        ran = run(*command, ENVCTL_INDEX_PYPI="file:///nowhere")
        assert ran.code == 4
        assert "error: the index (pypi) gave no answer" in ran.err
    assert world.file.read_text() == ENGINE


def test_an_installed_matrix_is_not_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "__main__.py").touch()
    monkeypatch.setattr(refresh, "payload", lambda folder: tmp_path / folder)
    with pytest.raises(BadInput, match="an installed matrix is not updated"):
        refresh.writable(None)
    assert refresh.writable(tmp_path) == tmp_path


@pytest.fixture
def slow(world: World) -> Iterator[Server]:
    """The index, which holds back its answer about the engine."""
    with wheelhouse.served(world.house) as server:
        server.held = "/simple/engine/"
        yield server


def test_ctrl_c_leaves_all_as_it_is(world: World, slow: Server) -> None:
    command = [sys.executable, "-m", "envctl", "matrix", "update", "--matrices", str(world.folder)]
    variables = {**os.environ, "ENVCTL_INDEX_PYPI": slow.address, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as process:
        assert slow.reached.wait(60)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert world.file.read_text() == ENGINE
