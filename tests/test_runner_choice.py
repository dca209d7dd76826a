"""Which runner does the work, and why: a daemon that answers, one without a base image, and none."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from envctl import matrix
from envctl.cli.pins import read_pins
from envctl.errors import NoStack
from envctl.request import Known
from envctl.runner.docker import DockerRunner
from envctl.runner.local import LocalRunner
from envctl.workflow import plan
from tests.conftest import CACHE, Ran

Program = Callable[..., Ran]
NOWHERE = "unix:///nowhere/docker.sock"


class Bare(BaseHTTPRequestHandler):
    """A Docker daemon that answers, and has no image: the three questions that are asked before a run."""

    def do_GET(self) -> None:
        answers: dict[str, Any] = {"version": {"ApiVersion": "1.41", "Version": "20.10"}, "json": [], "_ping": "OK"}
        body = json.dumps(answers[self.path.partition("?")[0].rsplit("/", 1)[-1]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def bare_daemon() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bare)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"tcp://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bare_cache(tmp_path: Path) -> str:
    """A cache with all that others made, but no base."""
    own = tmp_path / "bare"
    own.mkdir()
    for name in ("environments", "locks", "matrix"):
        (CACHE / name).mkdir(parents=True, exist_ok=True)
        (own / name).symlink_to(CACHE / name)
    return str(own)


@pytest.mark.engines
def test_auto_falls_to_local_and_says_why(envctl: Program, digits: Path) -> None:
    ran = envctl("run", "--ort", "1.31", "infer", digits, DOCKER_HOST=NOWHERE)
    assert ran.code == 0, ran.err
    chosen = next(line for line in ran.out.splitlines() if line.split()[:1] == ["runner"])
    assert "local (Docker does not answer" in chosen


@pytest.mark.docker
@pytest.mark.engines
@pytest.mark.usefixtures("docker_base")
def test_auto_takes_docker_where_it_can(envctl: Program, digits: Path) -> None:
    ran = envctl("run", "--ort", "1.31", "--python", "3.11", "infer", digits, "--json")
    assert (ran.code, ran.json["runner"]["name"]) == (0, "docker"), ran.err
    assert ran.json["steps"]["infer"]["sandbox"]["by"] == "container"


def test_docker_that_was_asked_for_is_not_replaced(envctl: Program, digits: Path, tmp_path: Path) -> None:
    given = ("run", "--ort", "1.31", "--runner", "docker", "convert", digits, "-o", "out")
    ran = envctl(*given, DOCKER_HOST=NOWHERE, ENVCTL_CACHE=str(tmp_path / "cold"))
    assert ran.code == 4
    assert "error: the docker runner cannot be used" in ran.err
    assert "Docker does not answer" in ran.err
    assert not (tmp_path / "out").exists()


def test_missing_base_image_is_named_with_the_command_that_makes_it(
    envctl: Program, digits: Path, bare_daemon: str, bare_cache: str
) -> None:
    variables = {"DOCKER_HOST": bare_daemon, "ENVCTL_CACHE": bare_cache}
    ran = envctl("run", "--ort", "1.31", "--runner", "docker", "infer", digits, **variables)
    assert ran.code == 4
    assert "no base image" in ran.err
    assert "envctl base debian:bookworm" in ran.err


@pytest.mark.engines
def test_auto_passes_over_a_daemon_without_base_image(
    envctl: Program, digits: Path, bare_daemon: str, bare_cache: str
) -> None:
    variables = {"DOCKER_HOST": bare_daemon, "ENVCTL_CACHE": bare_cache}
    ran = envctl("run", "--ort", "1.31", "infer", digits, "--json", **variables)
    assert (ran.code, ran.json["runner"]["name"]) == (0, "local"), ran.err
    assert "envctl base" in ran.json["runner"]["why"]


class Container(LocalRunner):
    """Stands for containers: their bases bring one CPython."""

    name = "docker"

    def pythons(self) -> dict[str, str]:
        return {"3.11": "a base"}


@pytest.mark.parametrize(
    ("minor", "way"), [("3.12", ["--runner local has CPython 3.12"]), ("3.11", []), ("3.7", []), ("", [])]
)
def test_the_runner_that_has_the_python_is_named(minor: str, way: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"3.11": "/usr/bin/python3.11", "3.12": "/usr/bin/python3.12"}
    local = LocalRunner()
    monkeypatch.setattr(local, "pythons", lambda: here)
    monkeypatch.setattr(plan, "runners", lambda: [Container(), local])
    pins = read_pins({"--openvino": "2026.4", "--python": minor or None}, [])
    known = {"python": Known(values=("3.11",), origin="CPythons of the docker runner")}
    if minor == "3.11" or not minor:
        assert plan.plan(matrix.load(), "openvino", pins, known, Container()).stack
        return
    with pytest.raises(NoStack) as refused:
        plan.plan(matrix.load(), "openvino", pins, known, Container())
    assert [step for step in refused.value.do if "--runner" in step] == way


def test_a_daemon_that_is_silent_or_absent_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envctl.runner.docker.PING_SECONDS", 0.2)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/socket")
    assert "does not answer; [Errno 2] No such file" in str(DockerRunner().why_not())
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{tmp_path}/socket")
        silent.listen()
        assert "does not answer; timed out" in str(DockerRunner().why_not())
    monkeypatch.setenv("DOCKER_HOST", "ssh://somebody@elsewhere")
    assert "sockets and plain TCP only" in str(DockerRunner().why_not())
