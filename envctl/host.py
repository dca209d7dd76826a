"""What this machine is: facts with their origin, read by the scripts in `probes/`, each in a child process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from envctl.tree import payload

PROBES = ("system", "nvidia")  # what a solve needs; a doctor asks them all
ALL_PROBES = (
    "system", "cpuid", "limits", "loader", "disks", "pythons", "nvidia", "driver", "libraries", "containers", "dockerd",
    "toolkit", "cdi", "image", "network",
)  # fmt: skip
PROBE_SECONDS = 5.0
Probes: TypeAlias = "list[tuple[str, subprocess.Popen[bytes]]]"


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


def start_probes(
    names: Sequence[str] = PROBES, root: Path | None = None, record: Path | None = None, *, redact: bool = False
) -> Probes:
    """Probes, running side by side (on the machine recorded in `root`, if given); hand them to `collect`."""
    command = [sys.executable, "-I", "-S"]
    options = [*(["--root", str(root)] if root else []), *(["--record", str(record)] if record else [])]
    options += ["--redact"] if redact else []
    return [
        (
            name,
            subprocess.Popen(
                [*command, str(payload("probes") / f"{name}.py"), *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ),
        )
        for name in names
    ]


def collect(running: Probes, seconds: float = PROBE_SECONDS) -> HostFacts:
    """The facts the probes printed within `seconds` together; one that hangs or dies costs its own facts only, and is
    named."""
    deadline = time.monotonic() + seconds
    facts: dict[str, Fact] = {}
    for name, process in running:
        for fact in _answer(name, process, max(0.05, deadline - time.monotonic())):
            facts[fact.name] = fact
    return HostFacts(facts=facts)


def read_host() -> HostFacts:
    """The facts of this machine."""
    return collect(start_probes())


def _answer(name: str, process: subprocess.Popen[bytes], seconds: float) -> list[Fact]:
    try:
        printed, _ = process.communicate(timeout=seconds)
        documents = json.loads(printed)["facts"]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return [_broken(name, "gave no answer in time")]
    except (ValueError, KeyError):
        return [_broken(name, f"ended with code {process.returncode} and no JSON")]
    return [_fact(document) for document in documents]


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
