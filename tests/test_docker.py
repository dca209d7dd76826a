"""The docker runner: what shuts a worker in, seen from inside and from outside, and how its end is reported."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envctl import lock
from envctl.environment import Environment
from envctl.job import Job, Limits, Result
from envctl.runner.docker import LABEL, DockerRunner
from tests.conftest import Ran, run_envctl

Program = Callable[..., Ran]
LIMITS = Limits(memory=512 << 20, seconds=120, processes=64)
contained = [pytest.mark.docker, pytest.mark.engines, pytest.mark.usefixtures("docker_base")]


@pytest.fixture(scope="module")
def environment(digits: Path, docker_base: str) -> Environment:
    """An environment with numpy, made for the base image."""
    ran = run_envctl("run", "--ort", "1.31", "--python", "3.11", "--runner", "docker", "infer", digits, "--json")
    assert ran.code == 0, ran.err
    assert docker_base
    folder = Path(ran.json["target"]["locked"]["environment"])
    return Environment(lock=lock.parse((folder / "lock.json").read_text()), folder=folder)


@pytest.fixture
def runner() -> DockerRunner:
    runner = DockerRunner()
    assert runner.why_not() is None
    return runner


def echo(folder: Path, limits: Limits = LIMITS, **script: Any) -> Job:
    """A job for the `echo` adapter, with one input "x" [3,4]; the model says what the worker does."""
    source = folder / "source" / "model.json"
    source.parent.mkdir()
    source.write_text(json.dumps(script))
    job = Job(
        folder=folder / "job", step="infer", adapter="echo", source=source, companions=(), limits=limits, inputs=("x",)
    )
    job.write()
    (job.folder / "inputs").mkdir()
    np.save(job.folder / "inputs" / "0.npy", np.arange(12, dtype=np.float32).reshape(3, 4))
    return job


def own_containers() -> list[Any]:
    import docker

    return list(docker.from_env().containers.list(all=True, filters={"label": f"{LABEL}={os.getpid()}"}))


class Test_what_a_worker_may_do:
    pytestmark = contained

    def test_job_is_done(self, tmp_path: Path, runner: DockerRunner, environment: Environment) -> None:
        result = runner.run(echo(tmp_path, do="pass"), environment)
        assert result.ok, result.message
        np.testing.assert_array_equal(np.load(result.outputs[0].file).ravel(), np.arange(12) * 2)
        assert own_containers() == []

    def test_answer_is_not_what_an_engine_prints(
        self, tmp_path: Path, runner: DockerRunner, environment: Environment
    ) -> None:
        result = runner.run(echo(tmp_path, do="print"), environment)
        assert result.ok
        assert "not me" in (tmp_path / "job" / "worker.log").read_text()

    def test_no_network(self, tmp_path: Path, runner: DockerRunner, environment: Environment) -> None:
        """At once, as there is no interface; with any network this address of RFC 5737 would time out."""
        result = runner.run(echo(tmp_path, do="connect", host="192.0.2.1", port=9), environment)
        assert (result.status, "Network is unreachable" in result.message) == ("engine-error", True), result.message

    @pytest.mark.parametrize(
        "path",
        [
            "/here",
            "/tmp/here",
            "/source/here",
            "/source/model.json",
            "/opt/env/here",
            "/opt/worker/here",
            "/dev/shm/../here",
        ],
    )
    def test_nothing_can_be_written(
        self, tmp_path: Path, runner: DockerRunner, environment: Environment, path: str
    ) -> None:
        result = runner.run(echo(tmp_path, do="write", path=path), environment)
        assert result.status == "engine-error"
        assert "Read-only file system" in result.message or "Permission denied" in result.message
        assert json.loads((tmp_path / "source" / "model.json").read_text())["do"] == "write"

    def test_the_job_folder_can(self, tmp_path: Path, runner: DockerRunner, environment: Environment) -> None:
        assert runner.run(echo(tmp_path, do="write", path="/job/here"), environment).ok
        assert (tmp_path / "job" / "here").read_text() == "written by a worker"

    def test_processes_are_capped(self, tmp_path: Path, runner: DockerRunner, environment: Environment) -> None:
        few = Limits(memory=LIMITS.memory, seconds=LIMITS.seconds, processes=16)
        result = runner.run(echo(tmp_path, few, do="fork", count=40), environment)
        assert (result.status, "Resource temporarily unavailable" in result.message) == ("engine-error", True)


class Test_how_a_worker_is_shut_in:
    """Seen from outside, while it sleeps: what the daemon was told, and what the kernel says of the process."""

    pytestmark = contained

    @pytest.fixture
    def sleeping(self, tmp_path: Path, runner: DockerRunner, environment: Environment) -> Iterator[Any]:
        job = echo(tmp_path, do="sleep", seconds=600)
        results: list[Result] = []
        thread = threading.Thread(target=lambda: results.append(runner.run(job, environment)))
        thread.start()
        try:
            yield worker_that_sleeps(job.folder)
        finally:
            runner.stop()
            thread.join()
            assert own_containers() == []

    def test_told_and_done(self, sleeping: Any, tmp_path: Path) -> None:
        told = sleeping.attrs["HostConfig"]
        assert (told["NetworkMode"], told["ReadonlyRootfs"], told["Privileged"]) == ("none", True, False)
        assert (told["CapDrop"], told["CapAdd"]) == (["ALL"], None)
        assert told["SecurityOpt"] == ["no-new-privileges"]
        assert (told["Memory"], told["MemorySwap"]) == (LIMITS.memory, LIMITS.memory)
        assert told["PidsLimit"] == LIMITS.processes
        mounts = {mount["Destination"]: mount for mount in sleeping.attrs["Mounts"]}
        assert [path for path, mount in mounts.items() if mount["RW"]] == ["/job"]
        assert mounts["/job"]["Source"] == str(tmp_path / "job")
        assert not mounts["/source/model.json"]["RW"]

    def test_kernel_says(self, sleeping: Any) -> None:
        process = Path("/proc", str(sleeping.attrs["State"]["Pid"]))
        if not process.exists():
            pytest.skip("the daemon runs on another machine, or in another PID namespace")
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
        assert [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")] == [0, 0, 0, 0]
        assert status["NoNewPrivs"] == "1"
        assert "0" not in status["Uid"].split() + status["Gid"].split()
        interfaces = [line.split(":")[0].strip() for line in (process / "net" / "dev").read_text().splitlines()[2:]]
        assert interfaces == ["lo"]


def worker_that_sleeps(folder: Path) -> Any:
    """The container of the one job that runs, as soon as its worker has begun."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if (folder / "worker.log").exists() and own_containers():
            return own_containers()[0]
        time.sleep(0.02)
    raise AssertionError("no worker began")


class Test_how_a_worker_ends:
    pytestmark = contained

    def test_memory(self, tmp_path: Path, runner: DockerRunner, environment: Environment) -> None:
        small = Limits(memory=128 << 20, seconds=120)
        result = runner.run(echo(tmp_path, small, do="allocate", blocks=8), environment)
        assert (result.status, "0.1 GiB" in result.message) == ("out-of-memory", True), result.message

    def test_time(self, tmp_path: Path, runner: DockerRunner, environment: Environment) -> None:
        short = Limits(memory=LIMITS.memory, seconds=2)
        result = runner.run(echo(tmp_path, short, do="sleep", seconds=600), environment)
        assert (result.status, result.message) == ("timeout", "stopped after 2 s")
        assert own_containers() == []

    def test_signal(self, tmp_path: Path, runner: DockerRunner, environment: Environment) -> None:
        result = runner.run(echo(tmp_path, do="die"), environment)
        assert (result.status, "SIGSEGV" in result.message) == ("killed", True), result.message
        assert "docker run" in (tmp_path / "job" / "reproduce.sh").read_text()

    def test_worker_ends_when_nobody_stops_it(
        self, tmp_path: Path, runner: DockerRunner, environment: Environment
    ) -> None:
        """As after SIGKILL of envctl: the worker's own alarm, five seconds after its time, ends it."""
        job = echo(tmp_path, Limits(memory=LIMITS.memory, seconds=1), do="sleep", seconds=600)
        patient = replace(job, limits=LIMITS)  # job.json says one second
        result = runner.run(patient, environment)
        assert result.status == "timeout", result.message

    def test_job_that_was_stopped_is_a_result(
        self, tmp_path: Path, runner: DockerRunner, environment: Environment
    ) -> None:
        runner.stop()
        result = runner.run(echo(tmp_path, do="sleep", seconds=600), environment)
        assert not result.ok
        assert own_containers() == []

    def test_memory_cap_that_docker_refuses(self, envctl: Program, digits: Path, own_cache: Path) -> None:
        given = ("run", "--ort", "1.31", "--runner", "docker", "infer", digits, "--memory", "1m")
        ran = envctl(*given, ENVCTL_CACHE=str(own_cache))
        assert ran.code == 4
        assert "error: Docker could not start the worker" in ran.err
        assert "Traceback" not in ran.err
