"""Folders that cannot be written, and disks that are full: one error, exit code 4, nothing half-made.

Small and read-only file systems are mounted in a mount namespace of the child's own: they go when it ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import CACHE, ROOT, Ran

Program = Callable[..., Ran]
OPENVINO = ("--openvino", "2026.4", "--runner", "local")
UNSHARE = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
# mount a file system over a folder, run the command, list what is in the folder afterwards
SCRIPT = """
mount -t tmpfs -o "$1" none "$2" || exit 99
there=$2 list=$3
shift 3
"$@"
code=$?
find "$there" -mindepth 1 >"$list"
exit $code
"""


def can_mount() -> bool:
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


mounts = pytest.mark.skipif(not can_mount(), reason="this kernel gives no mount namespace to this user")


def on(folder: Path, options: str, *arguments: str | Path, cwd: Path, cache: Path = CACHE) -> tuple[Ran, list[str]]:
    """`envctl` with a tmpfs mounted on the folder, and the paths that it left there."""
    folder.mkdir(exist_ok=True)
    listing = cwd / "listing"
    command = [*UNSHARE, "sh", "-c", SCRIPT, "sh", options, folder, listing, sys.executable, "-m", "envctl", *arguments]
    variables = {**os.environ, "ENVCTL_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=variables, capture_output=True, text=True, check=False
    )
    left = [str(Path(line).relative_to(folder)) for line in listing.read_text().splitlines()]
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr), left


def assert_host_lacks(ran: Ran, words: str) -> None:
    assert ran.code == 4, ran.err
    assert sum(line.startswith("error:") for line in ran.err.splitlines()) == 1, ran.err
    assert words in ran.err
    assert "hint: free some space" in ran.err or "hint: choose a folder you may write to" in ran.err
    assert "Traceback" not in ran.err


# ---- output folders, known before anything is made


@pytest.mark.parametrize("output", ["file", "file/below", "/proc/out", "x" * 300, "loop"])
def test_output_folder_that_cannot_be(envctl: Program, digits: Path, tmp_path: Path, output: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    before = set(tmp_path.iterdir())
    ran = envctl("run", *OPENVINO, "convert", digits, "-o", output, ENVCTL_CACHE=str(tmp_path / "cold"))
    assert_host_lacks(ran, f"cannot write {output}")
    assert not (tmp_path / "cold" / "environments").exists()
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "cold"}
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(("output", "code"), [("none/out.npz", 4), (".", 2), ("/proc/out.npz", 4)])
def test_output_file_that_cannot_be(envctl: Program, digits: Path, tmp_path: Path, output: str, code: int) -> None:
    ran = envctl("run", *OPENVINO, "infer", digits, "-o", output, ENVCTL_CACHE=str(tmp_path / "cold"))
    assert ran.code == code
    assert ran.err.startswith("error:")
    assert not (tmp_path / "cold" / "environments").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_output_folder_of_another_user(envctl: Program, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o555)
    ran = envctl("run", *OPENVINO, "convert", digits, "-o", "theirs/out", ENVCTL_CACHE=str(tmp_path / "cold"))
    assert_host_lacks(ran, "cannot write theirs/out")


@mounts
def test_output_folder_on_a_read_only_disk(digits: Path, tmp_path: Path) -> None:
    cold = tmp_path / "cold"
    ran, _ = on(tmp_path / "out", "ro", "run", *OPENVINO, "convert", digits, "-o", "out", cwd=tmp_path, cache=cold)
    assert_host_lacks(ran, "cannot write out")
    assert not (cold / "environments").exists()


# ---- full disks


@mounts
@pytest.mark.engines
@pytest.mark.parametrize("size", ["256k", "4m"], ids=["at the first file", "at the second"])
def test_disk_full_under_the_output(mobilenet: Path, tmp_path: Path, size: str) -> None:
    """The model needs 14 MB: neither the .xml, which fits, nor a part of the .bin stays."""
    given = ("run", *OPENVINO, "convert", mobilenet, "--no-verify", "-o", "out")
    ran, left = on(tmp_path / "out", f"size={size}", *given, cwd=tmp_path)
    assert_host_lacks(ran, "no space left")
    assert left == []


@mounts
@pytest.mark.engines
def test_disk_full_under_infers_output(digits: Path, tmp_path: Path) -> None:
    given = ("run", *OPENVINO, "infer", digits, "--samples", "4000", "-o", "out/answers.npz")
    ran, left = on(tmp_path / "out", "size=64k", *given, cwd=tmp_path)
    assert_host_lacks(ran, "no space left")
    assert left == []


@mounts
@pytest.mark.engines
@pytest.mark.parametrize("size", ["1m", "12m", "28m"], ids=["worker", "reference's inputs", "target's inputs"])
def test_disk_full_under_the_jobs(mobilenet: Path, tmp_path: Path, own_cache: Path, size: str) -> None:
    given = ("run", *OPENVINO, "convert", mobilenet, "-o", "out")
    ran, left = on(own_cache / "jobs", f"size={size}", *given, cwd=tmp_path, cache=own_cache)
    assert_host_lacks(ran, "no space left")
    assert left == []
    assert not (tmp_path / "out").exists()


@mounts
@pytest.mark.engines
def test_disk_full_under_the_environments(digits: Path, tmp_path: Path, own_cache: Path) -> None:
    (own_cache / "environments").unlink()
    given = ("run", *OPENVINO, "convert", digits, "-o", "out")
    ran, left = on(own_cache / "environments", "size=8m", *given, cwd=tmp_path, cache=own_cache)
    assert_host_lacks(ran, "no space left")
    assert [path for path in left if not path.endswith(".lock")] == []
    assert not (tmp_path / "out").exists()
