"""What this machine is: facts with their origin, read by the scripts in `probes/`, each in a child process."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envctl.tree import payload

PROBES = ("system", "nvidia")  # what a solve needs; a doctor asks them all
ALL_PROBES = (
    "system", "cpuid", "limits", "loader", "disks", "pythons", "nvidia", "driver", "libraries", "containers", "dockerd",
    "toolkit", "cdi", "image", "network",
)  # fmt: skip
PROBE_SECONDS = 5.0
MOST_BYTES = 16 << 20  # of one probe's answer; the largest have 100 KiB
LEAST_SECONDS = 0.1  # to read what was written while we did something else


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One thing known (or, with `error`, not known) of this machine, and what said so."""

    name: str
    value: Any
    origin: str
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostFacts:
    """All facts of one machine by name."""

    facts: dict[str, Fact]

    def value(self, name: str) -> str | None:
        """The fact's value, or None when it is not known."""
        fact = self.facts.get(name)
        return None if fact is None or fact.value is None else str(fact.value)

    def summary(self) -> dict[str, str | None]:
        """The facts that belong beside every result."""
        names = ("os", "kernel", "arch", "glibc", "cpu_model", "cpu", "cores", "memory", "driver", "gpu")
        return {name: self.value(name) for name in names}


class Probes:
    """Probes that run side by side, each in a process of its own, and what they have said so far."""

    def __init__(self, process: subprocess.Popen[bytes], pipes: dict[int, str]) -> None:
        self.process, self.pipes = process, pipes  # descriptor -> probe, until the probe ends
        self.said = {name: bytearray() for name in pipes.values()}
        self.deadline = 0.0

    def wait(self, names: Iterable[str], seconds: float) -> None:
        """Read until the probes named have ended, or `seconds` have passed since this was first called."""
        now = time.monotonic()
        self.deadline = max(self.deadline or now + seconds, now + LEAST_SECONDS)
        while set(names) & set(self.pipes.values()):
            left = self.deadline - time.monotonic()
            if left <= 0:
                return
            poll = select.poll()
            for pipe in self.pipes:
                poll.register(pipe, select.POLLIN)
            for pipe, _ in poll.poll(1000 * left):
                self._read(pipe)

    def _read(self, pipe: int) -> None:
        part = os.read(pipe, 1 << 20)
        self.said[self.pipes[pipe]] += part
        if not part or len(self.said[self.pipes[pipe]]) > MOST_BYTES:
            del self.pipes[pipe]
            os.close(pipe)

    def end(self) -> None:
        """Kill what has not ended, with all that it has started."""
        if self.pipes:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        for pipe in self.pipes:
            os.close(pipe)
        self.pipes = {}
        self.process.wait()


def start_probes(
    names: Sequence[str] = PROBES,
    root: Path | None = None,
    record: Path | None = None,
    *,
    redact: bool = False,
    variables: Mapping[str, str] | None = None,
) -> Probes:
    """Probes, running side by side (on the machine recorded in `root`, if given); hand them to `collect`. `variables`
    are added to their environment."""
    pairs = {name: os.pipe() for name in names}
    words = [f"{name}:{theirs}" for name, (_, theirs) in pairs.items()]
    options = [*(["--root", str(root)] if root else []), *(["--record", str(record)] if record else [])]
    options += ["--redact"] if redact else []
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(payload("probes") / "together.py"), *words, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[theirs for _, theirs in pairs.values()],
        env={**os.environ, **(variables or {})},
        start_new_session=True,  # one group, so that a probe is killed with its children
    )
    for _, theirs in pairs.values():
        os.close(theirs)
    return Probes(process, {ours: name for name, (ours, _) in pairs.items()})


def collect(running: Probes, seconds: float = PROBE_SECONDS, first: Sequence[str] = ()) -> HostFacts:
    """The facts the probes printed within `seconds` together; one that hangs or dies costs its own facts only, and is
    named. With `first`, the facts of these probes as soon as they are there; the others go on."""
    try:
        running.wait(first or running.said, seconds)
        silent = set(running.pipes.values())
    except BaseException:  # Ctrl-C does not reach them: they are a group of their own
        running.end()
        raise
    if not first:
        running.end()
    answers = [_answer(name, bytes(running.said[name]), name in silent) for name in first or running.said]
    return HostFacts(facts={fact.name: fact for facts in answers for fact in facts})


def read_host() -> HostFacts:
    """The facts of this machine."""
    return collect(start_probes())


def _answer(name: str, printed: bytes, silent: bool) -> list[Fact]:
    if silent:
        return [_broken(name, "gave no answer in time")]
    try:
        return [_fact(document) for document in json.loads(printed)["facts"]]
    except (ValueError, KeyError):
        return [_broken(name, "ended without an answer")]


def _broken(name: str, error: str) -> Fact:
    return Fact(name=f"probe:{name}", value=None, origin=f"probes/{name}.py", error=error)


def _fact(document: dict[str, object]) -> Fact:
    return Fact(
        name=str(document["name"]),
        value=document["value"],
        origin=str(document["origin"]),
        error=str(document.get("error") or ""),
    )


def interpreters() -> dict[str, Path]:
    """CPython interpreters on this machine by minor version ("3.11"), the one running envctl first, then newest.

    Looks where they are commonly kept: the running one, PATH, pyenv's and uv's folders. pyenv's shims are passed
    over: they answer for versions that are not installed.
    """
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = {running: Path(sys.executable).resolve()}
    for folder in _interpreter_folders():
        for path in _listed(folder, "python3.*"):
            if re.fullmatch(r"python3\.\d+", path.name) and os.access(path, os.X_OK):
                found.setdefault(path.name.removeprefix("python"), path)
    newest = sorted(found, key=lambda minor: int(minor.split(".")[1]), reverse=True)
    return {minor: found[minor] for minor in sorted(newest, key=lambda minor: minor != running)}


def _interpreter_folders() -> list[Path]:
    on_path = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    managed = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", Path.home() / ".local/share/uv/python"))
    beside = [*_listed(pyenv, "versions/*/bin"), *_listed(managed, "cpython-3*/bin")]
    return [folder for folder in [*on_path, *beside] if folder.name != "shims"]


def _listed(folder: Path, pattern: str) -> list[Path]:
    """What matches below a folder, sorted; nothing below one that is not there or not ours to read."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []
