"""The job protocol's files: what is written, and an answer that is read as one of a worker that met a hostile model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from envctl.errors import JobFailed
from envctl.job import Job, Limits, Result, read_result
from envctl.runner.outcome import outcome, tail
from envctl.workflow.steps import read_outputs

LIMITS = Limits(memory=1 << 30, seconds=60)
GOOD: dict[str, Any] = {
    "status": "ok",
    "message": "",
    "artifacts": ["artifact/model.xml"],
    "outputs": [{"name": "y", "dtype": "float32", "file": "outputs/0.npy"}],
    "versions": {"numpy": "2.0"},
    "read_back": {"precision": "fp32"},
    "timings": {"load": 0.5},
    "peak_memory": 1000,
    "sandbox": {"by": "worker"},
}


def answer(folder: Path, content: str | bytes) -> Result:
    """What is read of an answer."""
    (folder / "result.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = read_result(folder)
    assert result is not None
    return result


def test_a_good_answer_is_read_whole(tmp_path: Path) -> None:
    result = answer(tmp_path, json.dumps(GOOD))
    assert result.ok
    assert result.artifacts == (tmp_path / "artifact" / "model.xml",)
    assert [(o.name, o.dtype, o.file) for o in result.outputs] == [("y", "float32", tmp_path / "outputs" / "0.npy")]
    assert (result.versions, result.read_back, result.peak_memory) == ({"numpy": "2.0"}, {"precision": "fp32"}, 1000)
    assert (result.timings, result.sandbox) == ({"load": 0.5}, {"by": "worker"})


def test_no_answer_is_none(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None
    (tmp_path / "result.json.partial").write_text(json.dumps(GOOD))
    assert read_result(tmp_path) is None, "a half-written answer has another name"


BROKEN: dict[str, str | bytes] = {
    "empty": "",
    "cut off": json.dumps(GOOD)[:-20],
    "no JSON": "done",
    "no text": b"\xff\xfe\x00",
    "a list": "[]",
    "null": "null",
    "too deep": "[" * 100_000,
    "nothing in it": "{}",
    **{f"no {name}": json.dumps({key: value for key, value in GOOD.items() if key != name}) for name in GOOD},
    **{f"{name} is null": json.dumps({**GOOD, name: None}) for name in GOOD if name != "message"},
    **{f"{name} is a number": json.dumps({**GOOD, name: 5}) for name in GOOD if name not in ("peak_memory", "message")},
    **{f"{name} is a list": json.dumps({**GOOD, name: [1]}) for name in GOOD if name != "message"},
    "status unknown": json.dumps({**GOOD, "status": "splendid"}),
    "infinite memory": json.dumps({**GOOD, "peak_memory": float("inf")}),
    "memory in words": json.dumps({**GOOD, "peak_memory": "much"}),
    "time in words": json.dumps({**GOOD, "timings": {"load": "long"}}),
    "output without file": json.dumps({**GOOD, "outputs": [{"name": "y", "dtype": "float32"}]}),
    "output's file is a list": json.dumps({**GOOD, "outputs": [{"name": "y", "dtype": "float32", "file": ["a"]}]}),
    "artifact is a number": json.dumps({**GOOD, "artifacts": [3]}),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_what_does_not_fit_the_protocol_is_a_bad_result(tmp_path: Path, content: str | bytes) -> None:
    result = answer(tmp_path, content)
    assert result.status == "bad-result"
    assert result.message.startswith("result.json cannot be read: ")
    assert (result.outputs, result.artifacts) == ((), ())


OUTSIDE = [
    "../secret.npy",
    "outputs/../../secret.npy",
    "/etc/passwd",
    "link.npy",
    "folder/secret.npy",
    "x\0.npy",
    "loop",
]


@pytest.mark.parametrize("name", OUTSIDE, ids=repr)
@pytest.mark.parametrize("where", ["outputs", "artifacts"])
def test_files_outside_the_job_folder_are_refused(tmp_path: Path, name: str, where: str) -> None:
    """By name or through a link: an artifact would be delivered, an output shown."""
    (tmp_path / "secret.npy").touch()
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "link.npy").symlink_to(tmp_path / "secret.npy")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    entry: Any = {"name": "y", "dtype": "float32", "file": name} if where == "outputs" else name
    result = answer(folder, json.dumps({**GOOD, where: [entry]}))
    if name == "loop" and result.ok:  # newer Pythons resolve it to itself; opening it fails
        assert not (folder / "loop").exists()
        return
    assert result.status == "bad-result"


def test_a_link_that_stays_inside_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "outputs").symlink_to("real")
    assert answer(tmp_path, json.dumps(GOOD)).outputs[0].file == tmp_path / "real" / "0.npy"


def test_an_answer_that_is_no_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    assert read_result(tmp_path) is None


def npy(shape: str) -> bytes:
    """An array file whose header claims a shape, with eight bytes of content."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + b"\0" * 8


def test_a_handmade_array_is_read(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "0.npy").write_bytes(npy("(2,)"))
    assert read_outputs(answer(tmp_path, json.dumps(GOOD)))["y"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("content", [b"", b"no array", npy("(3,)"), npy("(1000000000000,)"), npy("(-1,)"), npy("'x'")])
def test_arrays_that_are_none_are_a_failed_job(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "0.npy").write_bytes(content)
    with pytest.raises(JobFailed, match="cannot be read"):
        read_outputs(answer(tmp_path, json.dumps(GOOD)))


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "outputs").mkdir()
    np.save(tmp_path / "outputs" / "0.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(JobFailed, match="cannot be read"):
        read_outputs(answer(tmp_path, json.dumps(GOOD)))


# --- written


def test_job_json_names_no_path_of_this_machine(tmp_path: Path) -> None:
    made = a_job(tmp_path)
    made.write()
    text = (made.folder / "job.json").read_text()
    assert str(tmp_path) not in text
    document = json.loads(text)
    assert (document["protocol"], document["step"], document["adapter"]) == (1, "infer", "echo")
    assert document["source"] == "model.onnx"
    assert document["inputs"] == [{"name": "x", "file": "inputs/0.npy"}, {"name": "y", "file": "inputs/1.npy"}]
    assert document["limits"]["memory"] == 1 << 30


def a_job(folder: Path) -> Job:
    """A job that nobody runs."""
    return Job(
        folder=folder / "job",
        step="infer",
        adapter="echo",
        source=folder / "model.onnx",
        companions=(),
        limits=LIMITS,
        inputs=("x", "y"),
    )


# --- a death, seen from outside


@pytest.mark.parametrize(
    ("code", "log", "status", "words"),
    [
        (-11, "", "killed", "SIGSEGV"),
        (139, "", "killed", "SIGSEGV"),
        (-9, "", "killed", "out-of-memory killer"),
        (137, "", "killed", "SIGKILL"),
        (-6, "terminate called after throwing an instance of 'std::bad_alloc'", "out-of-memory", "1.0 GiB"),
        (1, "MemoryError\n", "out-of-memory", "1.0 GiB"),
        (-14, "", "timeout", "60 s"),
        (1, "Traceback", "engine-error", "exit code 1"),
        (0, "", "engine-error", "exit code 0"),
    ],
)
def test_a_death_without_answer_is_named(tmp_path: Path, code: int, log: str, status: str, words: str) -> None:
    made = a_job(tmp_path)
    made.write()
    (made.folder / "worker.log").write_text(log)
    result = outcome(made, code, timed_out=False)
    assert result.status == status
    assert words in result.message


def test_the_worker_s_own_account_comes_before_its_exit_code(tmp_path: Path) -> None:
    """Engines crash in their destructors, when the work is done and written."""
    made = a_job(tmp_path)
    made.write()
    (made.folder / "result.json").write_text(json.dumps(GOOD))
    assert outcome(made, -11, timed_out=False).ok
    assert outcome(made, 0, timed_out=True).status == "timeout"
    assert outcome(made, 137, timed_out=False, killed_for_memory=True).status == "out-of-memory"


def test_the_end_of_a_huge_log_is_read_without_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_bytes(b"\xff" * 200_000 + b"\n" + b"line\n" * 10)
    assert tail(tmp_path, 3) == "line\nline\nline"
    assert tail(tmp_path / "none", 3) == ""
