"""Workers as processes of this host, in a virtual environment. They shut themselves in (worker/sandbox.py)."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from envctl.aliases import Indexes
from envctl.environment import Environment, find_or_make, interpreter_for, is_made
from envctl.errors import CannotStart, Reason
from envctl.host import interpreters
from envctl.job import Job, Result
from envctl.lock import Lock
from envctl.runner import VARIABLES, WORKER
from envctl.runner.outcome import outcome, write_reproduce

if TYPE_CHECKING:
    from envctl.oci.base_image import BaseImage

SLICE_SECONDS = 0.5
OLDEST_PYTHON = 8  # the worker's floor: CPython 3.8
CLEAN = {"PATH": "/usr/bin:/bin", **VARIABLES}
KEPT = ("CUDA_VISIBLE_DEVICES",)  # which GPUs a job may use is for whoever shares the machine out to say


class LocalRunner:
    """The runner that is always there."""

    name = "local"

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def why_not(self) -> str | None:
        return None

    def pythons(self) -> dict[str, str]:
        found = interpreters()
        return {minor: str(path) for minor, path in found.items() if int(minor.split(".")[1]) >= OLDEST_PYTHON}

    def glibc(self, python: str) -> str | None:
        return None

    def environment(
        self, lock: Lock, indexes: Indexes, base: BaseImage | None, *, offline: bool, say: Callable[[str], None]
    ) -> Environment:
        interpreter = interpreter_for(lock.python, interpreters())
        return find_or_make(lock, interpreter, indexes, offline=offline, say=say)

    def has(self, lock: Lock) -> bool | None:
        return is_made(lock, interpreter_for(lock.python, interpreters()))

    def run(self, job: Job, environment: Environment) -> Result:
        command = [str(environment.python), "-I", str(WORKER), str(job.folder), str(job.source)]
        variables = CLEAN | {name: os.environ[name] for name in KEPT if name in os.environ}
        write_reproduce(job, command, variables)
        process = subprocess.Popen(
            command,
            env=variables,
            cwd=job.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.running.add(process)
        try:
            if self.stopped:  # between two steps, say
                _kill(process)
            timed_out = not _ends_within(process, job.limits.seconds)
        finally:
            _kill(process)
            self.running.discard(process)
        return outcome(job, process.returncode, timed_out=timed_out)

    def command(self, arguments: list[str], environment: Environment, device: str) -> int:
        scripts = str(environment.python.parent)
        variables = {**os.environ, "VIRTUAL_ENV": str(environment.folder / "venv")}
        variables["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
        variables.pop("PYTHONHOME", None)
        try:
            code = subprocess.run(arguments, env=variables, check=False).returncode
        except OSError as error:
            raise CannotStart(f"cannot start {arguments[0]}", because=[Reason(text=str(error))]) from error
        return code if code >= 0 else 128 - code

    def stop(self) -> None:
        self.stopped = True
        for process in list(self.running):
            _kill(process)


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process ends in time. `Popen.wait` with a time-out looks every 50 ms; the kernel tells at once."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:  # before Linux 5.3
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)
        return process.poll() is not None
    end = time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            # in slices: the kernel may have handed Ctrl-C to another thread while this one was starting the process,
            # and then Python looks at it only when this call returns
            if select.select([handle], [], [], min(left, SLICE_SECONDS))[0]:
                return True
        return False
    finally:
        os.close(handle)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the worker and whatever it started: they share a session of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
