"""Workers that stay alive and work by turns, through real processes: what they say, how they rest, and how they end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from envctl.errors import JobFailed
from envctl.job import Job, Limits
from envctl.runner.local import LocalRunner
from envctl.workflow.live import Ended, Live, start
from tests.echoing import NEWEST, PYTHONS, job, with_numpy

pytestmark = pytest.mark.engines
SECONDS = 60  # for an answer that must come
TURN = {"do": "time", "seconds": 0.05}


@contextmanager
def alive(made: Job, python: str = NEWEST) -> Iterator[Live]:
    live = start(made, with_numpy(python), LocalRunner)
    try:
        yield live
    finally:
        live.close()


def said(live: Live, wish: dict[str, Any]) -> dict[str, Any]:
    live.send(wish)
    return live.answer(SECONDS)


@pytest.mark.parametrize("python", PYTHONS)
def test_a_worker_says_that_it_is_ready_and_times_each_inference(tmp_path: Path, python: str) -> None:
    with alive(job(tmp_path, step="measure", each=0.002), python) as live:
        ready = live.answer(SECONDS)
        assert ready["read_back"] == {"precision": "fp32", "device": "CPU"}
        assert set(ready["timings"]) == {"import", "load", "first"} and 1 << 20 < ready["resident"] <= ready["peak"]
        for _ in range(2):
            told = said(live, TURN)
            assert len(told["ns"]) >= 3 and min(told["ns"]) >= 2_000_000
            assert sum(told["ns"]) >= 0.05e9 - max(told["ns"])
        assert live.finish(SECONDS).status == "ok"


def test_a_worker_sleeps_between_its_turns(tmp_path: Path) -> None:
    """CPU time of the whole process, as the kernel counts it: waiting costs none, however long."""
    with alive(job(tmp_path, step="measure")) as live:
        live.answer(SECONDS)
        said(live, TURN)
        process = Path("/proc", str(next(iter(live.runner.running)).pid))  # type: ignore[attr-defined]
        while " S " not in (process / "stat").read_text():
            time.sleep(0.01)  # it is on its way into the read
        before = (process / "schedstat").read_text()
        time.sleep(0.3)
        assert (process / "schedstat").read_text() == before
        told = said(live, TURN)
        assert told["rest"] >= 0.3 and told["idle"] < 0.1


def test_several_at_once_are_counted_together(tmp_path: Path) -> None:
    with alive(job(tmp_path, step="measure", each=0.01)) as live:
        live.answer(SECONDS)
        told = said(live, {"do": "together", "lanes": 4, "times": 3, "seconds": 0.2})
        assert len(told["rates"]) == 3 and all(0 < rate <= 4 / 0.01 for rate in told["rates"])


def test_what_cannot_be_done_at_once_is_told_and_the_worker_lives(tmp_path: Path) -> None:
    """Every lane is a session of its own, and fails at its own fiftieth inference."""
    with alive(job(tmp_path, step="measure", then={"do": "remove", "path": "/nowhere"}, at=50)) as live:
        live.answer(SECONDS)
        told = said(live, {"do": "together", "lanes": 2, "times": 1, "seconds": 0.5})
        assert "/nowhere" in told["error"] and "rates" not in told
        assert len(said(live, {"do": "time", "seconds": 0})["ns"]) == 3


def test_a_death_is_told_with_its_signal(tmp_path: Path) -> None:
    with alive(job(tmp_path, step="measure", each=0.001, then={"do": "die"}, at=30)) as live:
        live.answer(SECONDS)
        with pytest.raises(Ended) as caught:
            for _ in range(20):
                said(live, TURN)
        assert (caught.value.result.status, "SIGSEGV" in caught.value.result.message) == ("killed", True)


def test_an_engines_own_failure_is_told_in_its_words(tmp_path: Path) -> None:
    with alive(job(tmp_path, step="measure", then={"do": "remove", "path": "/nowhere"}, at=2)) as live:
        live.answer(SECONDS)
        with pytest.raises(Ended) as caught:
            said(live, TURN)
        assert caught.value.result.status == "engine-error" and "/nowhere" in caught.value.result.message


def test_silence_ends_a_worker(tmp_path: Path) -> None:
    with alive(job(tmp_path, step="measure", then={"do": "sleep", "seconds": 600}, at=2)) as live:
        live.answer(SECONDS)
        live.send(TURN)
        with pytest.raises(Ended) as caught:
            live.answer(0.2)
        assert (caught.value.result.status, caught.value.result.message) == ("timeout", "no answer within 0.2 s")
        assert not live.runner.running  # type: ignore[attr-defined]


def test_a_memory_cap_holds_for_a_worker_that_stays(tmp_path: Path) -> None:
    script = {"then": {"do": "allocate", "blocks": 32}, "at": 2}
    with alive(job(tmp_path, step="measure", limits=Limits(memory=512 << 20, seconds=60), **script)) as live:
        live.answer(SECONDS)
        with pytest.raises(Ended) as caught:
            said(live, TURN)
        assert caught.value.result.status == "out-of-memory"


@pytest.mark.parametrize("line", [b"[1]", b"{", b"[" * 50_000])
def test_answers_that_are_none_are_failures(tmp_path: Path, line: bytes) -> None:
    """A worker that was taken over by its model can write anything into its pipe."""
    with alive(job(tmp_path, step="measure")) as live:
        live.answer(SECONDS)
        os.write(live.said, line + b"\n")
        with pytest.raises(JobFailed):
            live.answer(SECONDS)


def test_a_worker_ends_when_the_host_is_gone(tmp_path: Path) -> None:
    """The pipe's end of file is the host's death: here both of its ends are closed by hand."""
    with alive(job(tmp_path, step="measure")) as live:
        live.answer(SECONDS)
        os.close(live.turn)
        assert live.running.result(timeout=SECONDS).status == "ok"
        live.turn = os.open(os.devnull, os.O_RDWR)  # for `close`


def test_the_job_says_what_is_measured(tmp_path: Path) -> None:
    made = job(tmp_path, step="measure")
    assert json.loads((made.folder / "job.json").read_text())["step"] == "measure"
