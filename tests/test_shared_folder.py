"""The folder that a command in a container shares with this machine: every path, save what the container has itself."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from envctl.errors import BadInput
from envctl.runner.container import as_bind, shared_folder
from tests.conftest import run_envctl

PRINTS = ("python", "-c", "import os; open('made.txt', 'w').write('x'); print(os.getcwd())")
DOCKER = ("run", "--ort", "1.31", "--runner", "docker", "--")


@pytest.mark.docker
@pytest.mark.engines
@pytest.mark.usefixtures("docker_base")
@pytest.mark.parametrize("name", ["plain", "a: b", 'with, "quotes" ü'])
def test_a_folder_of_any_name_is_shared(tmp_path: Path, name: str) -> None:
    (folder := tmp_path / name).mkdir()
    ran = run_envctl(*DOCKER, *PRINTS, cwd=folder)
    assert (ran.code, ran.out.strip()) == (0, str(folder)), ran.err
    assert (folder / "made.txt").read_text() == "x"


@pytest.mark.docker
@pytest.mark.engines
@pytest.mark.usefixtures("docker_base")
def test_the_temporary_folder_is_shared_where_it_is_the_current_one() -> None:
    ran = run_envctl(*DOCKER, "sh", "-c", "pwd", cwd=Path("/tmp"))
    assert (ran.code, ran.out.strip()) == (0, "/tmp"), ran.err


@pytest.mark.docker
@pytest.mark.engines
@pytest.mark.usefixtures("docker_base")
def test_a_folder_that_the_container_has_itself_is_one_error() -> None:
    ran = run_envctl(*DOCKER, "sh", "-c", "pwd", cwd=Path("/"))
    assert (ran.code, ran.out) == (2, "")
    assert "error: a container cannot share the folder /\n" in ran.err and "--runner local" in ran.err


@pytest.mark.parametrize(
    "folder", ["/", "/opt", "/opt/env/a", "/usr", "/usr/lib/python3", "/etc", "/proc/1", "/dev/shm"]
)
def test_what_a_container_has_itself_is_refused(folder: str) -> None:
    with pytest.raises(BadInput, match="a container cannot share the folder"):
        shared_folder(Path(folder))


@pytest.mark.parametrize("folder", ["/root", "/home/a", "/opt/other", "/usr/local/a", "/var", "/tmp/a", "/etcetera"])
def test_any_other_is_not(folder: str) -> None:
    assert shared_folder(Path(folder)) == ["--tmpfs=/tmp", as_bind(folder, folder), f"--workdir={folder}"]


def test_a_mount_is_read_back_as_docker_reads_it() -> None:
    """Comma-separated values, each `key=value`."""
    (fields,) = csv.reader(io.StringIO(as_bind('/a,b "c"', "/d:e", "readonly").removeprefix("--mount=")))
    assert fields == ["type=bind", 'source=/a,b "c"', "target=/d:e", "readonly"]
