"""What this machine is: facts with their origin, read by the scripts in `probes/`, each in a child process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from envctl.tree import payload

PROBES = ("system", "nvidia")
PROBE_SECONDS = 5.0
Probes: TypeAlias = "list[tuple[str, subprocess.Popen[bytes]]]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One thing known (or, with `error`, not known) of this machine, and what said so."""

    name: str
    value: str | None
    origin: str
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostFacts:
    """All facts of one machine by name."""

    facts: dict[str, Fact]

    def value(self, name: str) -> str | None:
        """The fact's value, or None when it is not known."""
        fact = self.facts.get(name)
        return fact.value if fact else None

    def summary(self) -> dict[str, str | None]:
        """The facts that belong beside every result."""
        names = ("os", "kernel", "arch", "glibc", "cpu_model", "cpu", "cores", "memory", "driver", "gpu")
        return {name: self.value(name) for name in names}


def start_probes() -> Probes:
    """All probes, running side by side; hand them to `collect`."""
    command = [sys.executable, "-I", "-S"]
    return [
        (
            name,
            subprocess.Popen(
                [*command, str(payload("probes") / f"{name}.py")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ),
        )
        for name in PROBES
    ]


def collect(running: Probes) -> HostFacts:
    """The facts the probes printed; a probe that hangs or dies costs its own facts only, and is named."""
    facts: dict[str, Fact] = {}
    for name, process in running:
        for fact in _answer(name, process):
            facts[fact.name] = fact
    return HostFacts(facts=facts)


def read_host() -> HostFacts:
    """The facts of this machine."""
    return collect(start_probes())


def _answer(name: str, process: subprocess.Popen[bytes]) -> list[Fact]:
    try:
        printed, _ = process.communicate(timeout=PROBE_SECONDS)
        documents = json.loads(printed)["facts"]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return [_broken(name, f"gave no answer within {PROBE_SECONDS:g} s")]
    except (ValueError, KeyError):
        return [_broken(name, f"ended with code {process.returncode} and no JSON")]
    return [_fact(document) for document in documents]


def _broken(name: str, error: str) -> Fact:
    return Fact(name=f"probe:{name}", value=None, origin=f"probes/{name}.py", error=error)


def _fact(document: dict[str, object]) -> Fact:
    value, error = document["value"], document.get("error") or ""
    return Fact(
        name=str(document["name"]),
        value=None if value is None else str(value),
        origin=str(document["origin"]),
        error=str(error),
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
