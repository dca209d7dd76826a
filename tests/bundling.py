"""Bundles in tests: made once from real wheels, unpacked and used where there is no network at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CACHE, ROOT, Ran, run_envctl

VERSIONS = Path.home() / ".pyenv" / "versions"
UNSHARE = [shutil.which("unshare") or "unshare", "-n" if os.getuid() == 0 else "-rn"]
ORT = "1.31"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def can_unshare() -> bool:
    """Whether a process may have a network namespace of its own: one without any route."""
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


no_routes = pytest.mark.skipif(not can_unshare(), reason="this kernel gives no network namespace to this user")


def interpreter(minor: str) -> Path:
    """A bare CPython of that minor version, with no package in it that envctl needs; skips where there is none."""
    found = sorted(VERSIONS.glob(f"{minor}.*/bin/python{minor}"))
    if not found:
        pytest.skip(f"no CPython {minor} under {VERSIONS}")
    return found[-1]


def tools(folder: Path) -> Path:
    """A PATH with what the installer's shell needs, and without any Python."""
    folder.mkdir()
    for name in ("sh", "dirname"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def isolated(*command: str | Path, home: Path, path: Path | None = None, **variables: str) -> Ran:
    """A command without network, without Docker, and with nothing of this user's: no caches, no settings."""
    home.mkdir(exist_ok=True)
    plain = {"HOME": str(home), "DOCKER_HOST": "unix:///nowhere", "LANG": "C.UTF-8"}
    plain["PATH"] = f"{path}:/usr/bin:/bin" if path else "/usr/bin:/bin"
    plain |= variables
    done = subprocess.run(
        [*UNSHARE, *map(str, command)], env=plain, cwd=home, capture_output=True, text=True, check=False
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def envctl_alone(*arguments: str | Path, home: Path, **variables: str) -> Ran:
    """This checkout's envctl, alone in the world: its uv has an empty cache, and what it knows it was brought."""
    uv = {"UV_CACHE_DIR": str(home / "uv"), "PYTHONPATH": str(ROOT)}
    return isolated(
        sys.executable, "-m", "envctl", *arguments, home=home, path=Path(sys.executable).parent, **uv, **variables
    )


def copied(bundle: Path, to: Path) -> Path:
    """The bundle as somebody carried it over: a copy that a test may damage."""
    shutil.copytree(bundle, to)
    return to


def first_part(bundle: Path) -> Path:
    """The first part of the largest wheel that was cut."""
    return max(bundle.glob("wheels/*.whl.000"), key=lambda path: len(list(bundle.glob(f"wheels/{path.stem}.*"))))


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kept_bundles() -> Path:
    """Where bundles stay between sessions: making them again checks every file and fetches nothing."""
    folder = CACHE / "bundles"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def two_locks(folder: Path) -> list[Path]:
    """Two locks that share most wheels: one for this Python alone, one with NumPy held back."""
    made = []
    for name, more in (("plain", []), ("pinned", ["--pin", "flatbuffers=<25"])):
        path = folder / f"{name}.lock"
        given = ["--ort", ORT, *more, "--target", f"python={HERE}", "--base", "none"]
        ran = run_envctl("lock", *given, "-o", path)
        assert ran.code == 0, ran.err
        made.append(path)
    return made


def bundle_of(locks: list[Path]) -> Path:
    """The bundle of both, with files cut at 4 MB and envctl for three Pythons."""
    folder = kept_bundles() / "two"
    ran = run_envctl("bundle", *locks, "-o", folder, "--split", "4M", "--python", "3.10,3.11,3.12")
    assert ran.code == 0, ran.err
    return folder


def manifest(folder: Path) -> dict[str, object]:
    """What the bundle says of itself."""
    found: dict[str, object] = json.loads((folder / "bundle.json").read_bytes())
    return found
