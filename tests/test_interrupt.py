"""Runs that are stopped half-way, killed, or not alone: nothing goes on, nothing half-made is taken for whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.models.graph import Graph, save

pytestmark = pytest.mark.engines
DEADLINE = 60.0  # how long to wait for something that must come; nothing is measured
LONG = ("--samples", "1000", "--timeout", "3000")


@pytest.fixture(scope="module")
def slow(models: Path) -> Path:
    """A model of 1 MB with some hundred milliseconds of work in each inference: "x" [1,16] -> "y" [1,512]."""
    g = Graph("slow")
    square = g.random_weight((512, 512), 512**-0.5)
    x = g.op("Mul", square, g.op("MatMul", "x", g.random_weight((16, 512), 0.25)))
    for _ in range(100):
        x = g.op("Tanh", g.op("MatMul", x, square))
    g.op("ReduceMean", x, out="y", axes=[0])
    return save(g.model({"x": [1, 16]}, {"y": [1, 512]}), models / "slow.onnx")


@contextmanager
def started(*arguments: str | Path, cache: Path, cwd: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A running `envctl`; what is left of it at the end of the block is killed."""
    environment = {**os.environ, "ENVCTL_CACHE": str(cache), "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "envctl", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=cwd, env=environment, text=True, **pipes)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Return as soon as the condition holds; a failure when it never does."""
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what} never came")
        time.sleep(0.02)


def processes(word: str | Path) -> list[int]:
    """The processes whose command line has that word in it (zombies have none)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if str(word).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def containers(process: subprocess.Popen[str]) -> list[str]:
    """The names of the containers that an envctl started."""
    import docker

    label = f"envctl.job={process.pid}"
    return [entry["Names"][0] for entry in docker.from_env().api.containers(all=True, filters={"label": label})]


def step_runs(cache: Path, step: str) -> Callable[[], object]:
    """Whether a worker has begun that step: it has opened its log."""
    return lambda: list(cache.glob(f"jobs/*/{step}/worker.log"))


def assert_stopped(process: subprocess.Popen[str], cache: Path, folder: Path) -> None:
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert out == ""
    assert list((cache / "jobs").iterdir()) == []
    assert processes(cache / "jobs") == []
    assert not (folder / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", ["convert", "infer"])
def test_stopped_local_run(slow: Path, tmp_path: Path, own_cache: Path, number: int, step: str) -> None:
    given = ("run", "--ort", "1.31", "--runner", "local", "convert", slow, *LONG, "-o", "out")
    with started(*given, cache=own_cache, cwd=tmp_path) as process:
        wait_for(step_runs(own_cache, step), step)
        process.send_signal(number)
        assert_stopped(process, own_cache, tmp_path)


@pytest.mark.docker
@pytest.mark.usefixtures("docker_base")
@pytest.mark.parametrize(("number", "step"), [(signal.SIGINT, "infer"), (signal.SIGTERM, "convert")])
def test_stopped_docker_run(slow: Path, tmp_path: Path, own_cache: Path, number: int, step: str) -> None:
    given = ("run", "--ort", "1.31", "--runner", "docker", "convert", slow, *LONG, "-o", "out")
    with started(*given, cache=own_cache, cwd=tmp_path) as process:
        wait_for(step_runs(own_cache, step), step)
        assert containers(process)
        process.send_signal(number)
        assert_stopped(process, own_cache, tmp_path)
        assert containers(process) == []


@pytest.mark.docker
@pytest.mark.usefixtures("docker_base")
def test_stopped_docker_command(tmp_path: Path, own_cache: Path) -> None:
    """SIGTERM reaches envctl alone: the program `docker` and the container must go too."""
    given = ("run", "--ort", "1.31", "--runner", "docker", "--", "sh", "-c", "touch here; sleep 600")
    with started(*given, cache=own_cache, cwd=tmp_path) as process:
        wait_for((tmp_path / "here").exists, "the command")
        assert containers(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 130
        assert containers(process) == []


def test_killed_envctl_takes_its_worker_along(slow: Path, tmp_path: Path, own_cache: Path) -> None:
    """SIGKILL leaves no time to tidy up: the kernel ends the workers (PR_SET_PDEATHSIG)."""
    given = ("run", "--ort", "1.31", "--runner", "local", "infer", slow, *LONG, "-o", "out.npz")
    with started(*given, cache=own_cache, cwd=tmp_path) as process:
        wait_for(step_runs(own_cache, "infer"), "infer")
        wait_for(lambda: len(processes(own_cache / "jobs")) == 1, "the worker")
        process.kill()
        wait_for(lambda: processes(own_cache / "jobs") == [], "the worker's end")
    assert not (tmp_path / "out.npz").exists()


def test_failed_side_ends_the_other(slow: Path, bad: dict[str, Path], tmp_path: Path, own_cache: Path) -> None:
    """OpenVINO cannot read the model; the reference, which has minutes of work to do, is not waited for."""
    model = bad["local_function"]
    given = ("run", "--openvino", "2026.4", "--runner", "local", "verify", model, "--reference", slow, *LONG)
    with started(*given, cache=own_cache, cwd=tmp_path) as process:
        assert process.wait(DEADLINE) == 5
        assert processes(own_cache / "jobs") == []


@pytest.mark.parametrize("runner", ["local", pytest.param("docker", marks=pytest.mark.docker)])
def test_failed_reference_ends_the_target(
    slow: Path, tmp_path: Path, own_cache: Path, runner: str, request: pytest.FixtureRequest
) -> None:
    """The reference reads beyond its input; the target, which has minutes of work to do, is not waited for."""
    g = Graph("beyond")
    g.op("Gather", "x", g.keep([99]), out="y", axis=1)
    reference = save(g.model({"x": [1, 16]}, {"y": [1, 1]}), tmp_path / "beyond.onnx")
    if runner == "docker":
        request.getfixturevalue("docker_base")
    given = ("run", "--openvino", "2026.4", "--runner", runner, "verify", slow, "--reference", reference, *LONG)
    with started(*given, cache=own_cache, cwd=tmp_path) as process:
        _, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == 5
        assert "could not infer beyond.onnx" in err
        assert "Traceback" not in err
        assert runner == "local" or containers(process) == []
        assert processes(own_cache / "jobs") == []


# ---- a cold cache


def made(cache: Path) -> list[str]:
    """The environments that are there, finished or not."""
    return sorted(path.name for path in (cache / "environments").iterdir() if path.is_dir())


def test_two_runs_at_once_on_a_cold_cache(digits: Path, tmp_path: Path) -> None:
    cold = tmp_path / "cold"
    given = ("run", "--ort", "1.31", "--runner", "local", "verify", digits)
    with started(*given, cache=cold, cwd=tmp_path) as one, started(*given, cache=cold, cwd=tmp_path) as other:
        said = [process.communicate(timeout=600) for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), said
    assert all(out.startswith("PASSED") for out, _ in said)
    assert sum(err.count("making an environment") for _, err in said) == 1
    assert len(made(cold)) == 1
    assert not list((cold / "jobs").iterdir())


def test_killed_maker_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    """The one that was killed left uv at work and a folder; the next one, at once, makes the environment anew."""
    cold = tmp_path / "cold"
    given = ("run", "--ort", "1.31", "--runner", "local", "--", "python", "-c", "import onnxruntime")
    with started(*given, cache=cold, cwd=tmp_path) as process:
        wait_for(lambda: list(cold.glob("environments/*/venv/lib/*/site-packages/*")), "the half of an environment")
        process.kill()
        process.wait()
    assert all(".partial" in name for name in made(cold))
    with started(*given, cache=cold, cwd=tmp_path) as process:
        assert process.wait(600) == 0, process.stderr and process.stderr.read()
    assert [name for name in made(cold) if ".partial" not in name] != []
    wait_for(lambda: processes(cold) == [], "the end of the killed one's uv")


# ---- where an interrupt meets Python's own code


def ends_with_130(tmp_path: Path, cache: Path, raising: str, *arguments: str) -> str:
    """Run envctl with a SIGUSR1 after three seconds that does `raising`; what it said."""
    script = f"""
import os, signal, sys, threading
from envctl.cli import main, stopping
def handle(number, frame):
{textwrap.indent(textwrap.dedent(raising), "    ")}
signal.signal(signal.SIGUSR1, handle)
threading.Timer(3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
sys.argv = ["envctl", *{arguments!r}]
main()
"""
    (tmp_path / "signalled.py").write_text(script)
    variables = {**os.environ, "ENVCTL_CACHE": str(cache)}
    command = [sys.executable, "-m", "signalled"]
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted; what was running has been stopped" in done.stderr
    return done.stderr


SLEEP = ("run", "--ort", "1.31", "--runner", "local", "--", "sleep", "600")


def test_exit_code_where_ctrl_c_met_generated_code(tmp_path: Path, own_cache: Path) -> None:
    """CPython takes a Ctrl-C inside exec() of a string for unhandled, and under `python -m` then dies by SIGINT."""
    assert "Traceback" not in ends_with_130(tmp_path, own_cache, 'exec("raise KeyboardInterrupt")', *SLEEP)


def test_ctrl_c_where_a_class_is_made(tmp_path: Path, own_cache: Path) -> None:
    """Up to Python 3.11 a RuntimeError comes out of there; numpy's import has such classes."""
    raising = """
    class Met:
        def __set_name__(self, owner, name):
            raise KeyboardInterrupt
    type("Owner", (), {"met": Met()})
    """
    assert "Traceback" not in ends_with_130(tmp_path, own_cache, raising, *SLEEP)


def test_ctrl_c_that_became_an_error_of_ours(tmp_path: Path, own_cache: Path) -> None:
    raising = """
    from envctl.errors import HostLacks
    try:
        raise KeyboardInterrupt
    except BaseException as error:
        raise HostLacks("this was not the reason") from error
    """
    assert "not the reason" not in ends_with_130(tmp_path, own_cache, raising, *SLEEP)


def test_ctrl_c_that_got_lost_comes_again(tmp_path: Path, own_cache: Path) -> None:
    """What `__del__` raises is printed and thrown away."""
    raising = """
    class Left:
        def __del__(self):
            stopping._interrupt(number, frame)
    Left()
    """
    ends_with_130(tmp_path, own_cache, raising, *SLEEP)
