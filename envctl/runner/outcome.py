"""A worker's end, seen from outside: its own account, or what its death says; and how to start it again by hand."""

from __future__ import annotations

import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from envctl.job import Job, Result, Status, read_result

# the last is OpenBLAS's, which numpy loads first
OUT_OF_MEMORY = (
    "bad_alloc",
    "MemoryError",
    "Cannot allocate memory",
    "out of memory",
    "Memory allocation still failed",
)
FULL = 1 << 20  # bytes: engines have no one word for a full disk, and a worker on one cannot say anything


def outcome(job: Job, code: int, *, timed_out: bool, killed_for_memory: bool = False) -> Result:
    """The result of a job whose process ended with `code` (negative or above 128: a signal)."""
    result = _outcome(job, code, timed_out=timed_out, killed_for_memory=killed_for_memory)
    free = shutil.disk_usage(job.folder).free
    if result.status in ("engine-error", "bad-result") and free < FULL:
        return _seen(job, "disk-full", f"failed with {free >> 10} KiB left on the disk of {job.folder}")
    return result


def _outcome(job: Job, code: int, *, timed_out: bool, killed_for_memory: bool) -> Result:
    if timed_out or code in (-signal.SIGALRM, 128 + signal.SIGALRM):
        return _seen(job, "timeout", f"stopped after {job.limits.seconds} s")
    if killed_for_memory:
        return _seen(job, "out-of-memory", f"killed at its memory cap of {_gib(job.limits.memory)}")
    result = read_result(job.folder)
    if result is not None:
        return _with_cap(job, result)
    return _death(job, code)


def _death(job: Job, code: int) -> Result:
    number = -code if code < 0 else code - 128
    if any(word in tail(job.folder, 40) for word in OUT_OF_MEMORY):
        return _seen(job, "out-of-memory", f"died for want of memory; its cap was {_gib(job.limits.memory)}")
    if number in signal.valid_signals():
        name = signal.Signals(number).name
        hint = " (often the kernel's out-of-memory killer)" if name == "SIGKILL" else ""
        return _seen(job, "killed", f"died by {name}{hint} and left no result")
    return _seen(job, "engine-error", f"ended with exit code {code} and left no result")


def _with_cap(job: Job, result: Result) -> Result:
    if result.status != "out-of-memory":
        return result
    return replace(result, message=f"{result.message} (memory cap {_gib(job.limits.memory)})")


def _seen(job: Job, status: Status, message: str) -> Result:
    return Result(status=status, message=message, folder=job.folder)


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


def tail(folder: Path, lines: int) -> str:
    """The last lines of the worker's log."""
    path = folder / "worker.log"
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 65536))
        text = stream.read().decode("utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def write_reproduce(job: Job, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Write `reproduce.sh`, which does the step again; kept in the folder of a job that failed."""
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items()))
    start = f"env -i {variables} " if environment else ""
    lines = [
        "#!/bin/sh",
        "# Does this step again. The log is worker.log, the answer result.json.",
        f"cd {shlex.quote(str(job.folder))} || exit",
        f"exec {start}{shlex.join(command)}",
    ]
    script = "\n".join(lines) + "\n"
    path = job.folder / "reproduce.sh"
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)
