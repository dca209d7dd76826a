"""A worker that stays alive and works by turns: a line of JSON to it, a line back, through two pipes in its folder.

While it works the host sleeps, and while it waits it sleeps itself: neither takes time from what is measured.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from envctl.environment import Environment
from envctl.errors import JobFailed, Reason
from envctl.job import Job, Result
from envctl.runner import Runner
from envctl.tree import disk_errors

SLICE = 0.5
MOST_BYTES = 4 << 20  # of one answer: 20,000 times of 20 digits, and some


class Ended(Exception):
    """The worker is gone, or was ended for its silence: its result says how."""

    def __init__(self, job: Job, result: Result) -> None:
        super().__init__(result.message)
        self.job, self.result = job, result


class Live:
    """One worker. `runner` is its own: ending it ends this worker and no other."""

    def __init__(self, job: Job, environment: Environment, runner: Runner) -> None:
        self.job, self.runner = job, runner
        self.turn, self.said = _pipes(job.folder)
        self.rest = b""
        self.pool = ThreadPoolExecutor(1)
        self.running: Future[Result] = self.pool.submit(runner.run, job, environment)

    def send(self, wish: dict[str, Any]) -> None:
        """Tell the worker to do something; `answer` then waits for it."""
        os.write(self.turn, (json.dumps(wish) + "\n").encode())

    def answer(self, seconds: float) -> dict[str, Any]:
        """The worker's next line; raises `Ended` when it ends before, or says nothing for that long (it is ended)."""
        until = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = until - time.monotonic()
            if left <= 0 or len(self.rest) > MOST_BYTES:
                raise self._silent(seconds)
            if select.select([self.said], [], [], min(left, SLICE))[0]:
                self.rest += os.read(self.said, 1 << 20)
            elif self.running.done():
                raise Ended(self.job, self.result())
        line, _, self.rest = self.rest.partition(b"\n")
        return _object(line)

    def _silent(self, seconds: float) -> Ended:
        folder, long = self.job.folder, len(self.rest) > MOST_BYTES
        self.end()
        if long:
            return Ended(self.job, Result(status="bad-result", message="an answer without an end", folder=folder))
        return Ended(self.job, Result(status="timeout", message=f"no answer within {seconds:g} s", folder=folder))

    def result(self) -> Result:
        """How the worker ended, once it has; a runner's own failure is raised."""
        return self.running.result()

    def finish(self, seconds: float) -> Result:
        """Let the worker go and wait for its own account."""
        self.send({"do": "end"})
        try:
            return self.running.result(timeout=seconds)
        except TimeoutError:
            self.end()
            return Result(status="timeout", message="it did not end", folder=self.job.folder)

    def end(self) -> None:
        """End the worker now, whatever it does."""
        if not self.running.done():
            self.runner.stop()
        self.pool.shutdown(wait=True)

    def close(self) -> None:
        """End the worker and give the pipes back."""
        self.end()
        for pipe in (self.turn, self.said):
            os.close(pipe)


def start(job: Job, environment: Environment, make_runner: Callable[[], Runner]) -> Live:
    """A worker that loads its model now; its first answer says that it is ready."""
    job.write()
    return Live(job, environment, make_runner())


def _pipes(folder: Path) -> tuple[int, int]:
    """Both pipes, opened both ways: so opening waits for nobody, and a worker's death is not an end of file."""
    with disk_errors(folder):
        for name in ("turn", "said"):
            os.mkfifo(folder / name, 0o600)
        return os.open(folder / "turn", os.O_RDWR), os.open(folder / "said", os.O_RDWR)


def _object(line: bytes) -> dict[str, Any]:
    """The JSON object in a line of a worker, which has met an untrusted model."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise JobFailed("a worker's answer cannot be read", because=[Reason(text=str(error)[:200])]) from error
    if not isinstance(found, dict):
        raise JobFailed("a worker's answer is no object")
    return cast(dict[str, Any], found)
