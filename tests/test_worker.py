"""The job protocol through real worker processes, under every CPython from 3.8 up that this machine has."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from envctl.job import Job, Limits, Result
from envctl.runner.local import LocalRunner
from tests import echoing
from tests.echoing import NEWEST, PYTHONS, X, job

pytestmark = pytest.mark.engines
every_python = pytest.mark.parametrize("python", PYTHONS)


def run(made: Job, python: str = NEWEST) -> Result:
    """What comes of a job in its own process."""
    return LocalRunner().run(made, echoing.with_numpy(python))


@every_python
def test_infer_answers_every_sample_in_arrays(tmp_path: Path, python: str) -> None:
    result = run(job(tmp_path, given=["x", "y"], inputs=["y", "x"]), python)
    assert (result.status, result.message) == ("ok", "")
    assert [(output.name, output.dtype) for output in result.outputs] == [
        ("y_doubled", "float32"),
        ("x_doubled", "float32"),
    ]
    for output, expected in zip(result.outputs, (2 * (X + 1), 2 * X), strict=True):
        answer = np.load(output.file, allow_pickle=False)
        assert answer.dtype == np.float32 and np.array_equal(answer, expected)
    assert result.read_back == {"precision": "fp32", "device": "CPU"}
    assert set(result.timings) == {"import", "load", "first", "median"}
    assert 1 << 20 < result.peak_memory < 2 << 30


@every_python
def test_convert_names_what_it_made(tmp_path: Path, python: str) -> None:
    result = run(job(tmp_path, step="convert", given=[]), python)
    assert result.ok
    assert [path.relative_to(tmp_path / "job") for path in result.artifacts] == [Path("artifact/model.json")]
    assert json.loads(result.artifacts[0].read_text()) == {"do": "pass"}


@every_python
def test_out_of_memory_is_a_result(tmp_path: Path, python: str) -> None:
    """The cap is the job's, not the machine's: 2 GiB are asked for where 512 MiB are allowed."""
    made = job(tmp_path, do="allocate", blocks=32, limits=Limits(memory=512 << 20, seconds=60))
    result = run(made, python)
    assert result.status == "out-of-memory"
    assert "0.5 GiB" in result.message


@every_python
def test_death_by_signal_is_a_result(tmp_path: Path, python: str) -> None:
    result = run(job(tmp_path, do="die"), python)
    assert result.status == "killed"
    assert "SIGSEGV" in result.message


@every_python
def test_what_an_engine_prints_disturbs_nothing(tmp_path: Path, python: str) -> None:
    """It goes to file descriptor 1, past Python, and looks like an answer."""
    result = run(job(tmp_path, do="print"), python)
    assert result.ok and len(result.outputs) == 1
    assert '{"status": "not me"}' in (tmp_path / "job" / "worker.log").read_text()


def test_memory_below_the_cap_is_given(tmp_path: Path) -> None:
    limits = Limits(memory=1 << 30, seconds=60)
    assert run(job(tmp_path, do="allocate", blocks=8, limits=limits)).ok


def test_a_missing_engine_is_named(tmp_path: Path) -> None:
    result = run(job(tmp_path, adapter="onnxruntime"))
    assert result.status == "engine-missing"
    assert "onnxruntime" in result.message


def test_inputs_that_the_engine_does_not_know_are_named(tmp_path: Path) -> None:
    result = run(job(tmp_path, given=["z"]))
    assert result.status == "invalid-model"
    assert "z" in result.message and "x" in result.message


def test_a_failure_nobody_foresaw_has_its_words_and_a_trace_in_the_log(tmp_path: Path) -> None:
    made = job(tmp_path)
    made.source.write_text("no JSON")
    result = run(made)
    assert result.status == "engine-error"
    assert result.message.startswith("JSONDecodeError: ")
    assert "Traceback" in (made.folder / "worker.log").read_text()


def test_a_file_over_the_cap_is_an_error_to_read(tmp_path: Path) -> None:
    """The kernel's signal for it would kill without a word."""
    made = job(tmp_path, limits=Limits(memory=2 << 30, seconds=60, file_bytes=4096))
    np.save(made.folder / "inputs" / "0.npy", np.zeros((4, 4096), np.float32))
    result = run(made)
    assert result.status in ("engine-error", "disk-full")
    assert "large" in result.message or "requested" in result.message


def test_the_worker_waits_for_a_source_that_is_still_being_made(tmp_path: Path) -> None:
    made = job(tmp_path)
    waiting = Job(**{**fields(made), "source": tmp_path, "after": True})
    waiting.write()
    (made.folder / "go").write_text("model.json")
    assert run(waiting).ok


def test_a_source_that_never_comes_is_a_time_out(tmp_path: Path) -> None:
    made = job(tmp_path, limits=Limits(memory=2 << 30, seconds=1))
    waiting = Job(**{**fields(made), "source": tmp_path, "after": True})
    waiting.write()
    assert run(waiting).status == "timeout"


def fields(made: Job) -> dict[str, object]:
    """The fields of a job by name."""
    return {name: getattr(made, name) for name in Job.__dataclass_fields__}


def test_nothing_of_the_caller_s_shell_reaches_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stray PYTHONPATH or LD_LIBRARY_PATH would change what was pinned."""
    (tmp_path / "numpy.py").write_text("raise SystemError('a stray numpy')")
    strays = (
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "LD_LIBRARY_PATH",
        "OMP_NUM_THREADS",
        "ORT_LOG",
        "https_proxy",
    )
    for name in strays:
        monkeypatch.setenv(name, str(tmp_path))
    made, runner, environment = job(tmp_path, do="sleep", seconds=600), LocalRunner(), echoing.with_numpy(NEWEST)
    thread = threading.Thread(target=runner.run, args=(made, environment))
    thread.start()
    while not runner.running:
        assert thread.is_alive()
    (process,) = runner.running
    variables = Path(f"/proc/{process.pid}/environ").read_text()
    runner.stop()
    thread.join()
    assert "PATH=" in variables
    assert [name for name in strays if f"{name}=" in variables] == []
