"""The wheel holds what git holds, and works from there, with no checkout beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent.parent
DATA = ("matrices", "images", "probes", "symptoms")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """envctl's wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def tracked() -> set[str]:
    """Where each tracked file of the package lies in the wheel."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "envctl", *DATA],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    there = [name for name in listed if (ROOT / name).is_file()]
    return {f"envctl/{name}" if name.startswith(DATA) else name for name in there}


def test_wheel_holds_exactly_what_git_holds(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == tracked()


def test_installed_wheel_works_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([find_uv_bin(), "venv", "-q", "--python", sys.executable, str(venv)], check=True)
    subprocess.run(
        [find_uv_bin(), "pip", "install", "-q", "--python", str(venv / "bin/python"), str(wheel)], check=True
    )
    variables = {**os.environ, "ENVCTL_CACHE": str(tmp_path / "cache")}
    for arguments, expected in ((["--version"], "envctl 0."), (["matrix", "check"], "nothing to mend")):
        command = [str(venv / "bin/envctl"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
