"""Locks of small wheels, and `envctl build` with a cache of its own that shares the base with all others."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envctl.lock import Lock
from envctl.package import LockedPackage
from tests import odd_wheels, wheelhouse
from tests.conftest import CACHE, ROOT, Ran

SHARED = ("bases", "rootfs")
PLATFORM = "x86_64-manylinux_2_28"


@dataclass(frozen=True)
class Order:
    """A lock as a file, and the folder with its wheels."""

    lock: Lock
    path: Path
    wheels: Path

    @property
    def arguments(self) -> list[str]:
        """What `envctl build` is given for it."""
        return [str(self.path), "--wheels", str(self.wheels)]


def locked(wheel: Path, name: str, version: str) -> LockedPackage:
    """A wheel as locks have it."""
    sha256, size = wheelhouse.sha256(wheel), wheel.stat().st_size
    return LockedPackage(name=name, version=version, file=wheel.name, sha256=sha256, index="pypi", size=size)


def order(folder: Path, *, says: str = "hello", heavy: bytes = b"") -> Order:
    """A lock of "engine" (a module and a script that says something), "greeter", and "weights" (2 MB: a layer)."""
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    data = heavy or random.Random(0).randbytes(2 << 20)
    made = [
        (wheelhouse.wheel(wheels, "engine", "1.0", says=says), "engine", "1.0"),
        (wheelhouse.wheel(wheels, "greeter", "2.0", says="good day"), "greeter", "2.0"),
        (
            odd_wheels.write(
                wheels / "weights-3.0-py3-none-any.whl",
                {"weights/__init__.py": "", "weights/data.bin": data, "weights/old.py": "print 1\n"},
                name="weights",
                version="3.0",
                deflate=not heavy,
            ),
            "weights",
            "3.0",
        ),
    ]
    return written(folder, wheels, [locked(*each) for each in made])


def written(folder: Path, wheels: Path, packages: Sequence[LockedPackage], python: str = "3.11") -> Order:
    """The lock of these packages, as a file."""
    lock = Lock(python=python, platform=PLATFORM, packages=tuple(sorted(packages, key=lambda each: each.name)))
    path = folder / "envctl.lock"
    path.write_text(lock.text())
    return Order(lock=lock, path=path, wheels=wheels)


def new_cache(folder: Path) -> Path:
    """A cache without anything but the base, which is read from Docker only once a session."""
    store = folder / "store"
    store.mkdir(parents=True)
    for name in SHARED:
        (CACHE / "store" / name).mkdir(parents=True, exist_ok=True)
        (store / name).symlink_to(CACHE / "store" / name)
    return folder


def build(*arguments: str | Path, cache: Path, before: Sequence[str] = (), cwd: Path = ROOT, **variables: str) -> Ran:
    """`envctl build` in a child process; `before` is a program that starts it."""
    environment = {**os.environ, "ENVCTL_CACHE": str(cache), **variables}
    command = [*before, sys.executable, "-m", "envctl", "build", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def built(*arguments: str | Path, cache: Path, **options: Any) -> dict[str, Any]:
    """What a build that must work says of itself."""
    ran = build(*arguments, "--json", cache=cache, **options)
    assert ran.code == 0, ran.err + ran.out
    return ran.json


def layout(folder: Path) -> Mapping[str, bytes]:
    """All files of an OCI layout but the layers' blobs, whose digests are in the manifest."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if path.stat().st_size < 1 << 20}


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the one image in a layout."""
    entry = json.loads((folder / "index.json").read_text())["manifests"][0]
    found: dict[str, Any] = json.loads((folder / "blobs" / entry["digest"].replace(":", "/")).read_text())
    return found


def blob(descriptor: Mapping[str, Any]) -> str:
    """Where a layout has a blob."""
    return f"blobs/{descriptor['digest'].replace(':', '/')}"
