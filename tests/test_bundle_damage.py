"""Bundles that were damaged on the way, not made to the end, or asked for in the wrong words."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundling import (
    bundle_of,
    copied,
    files,
    first_part,
    manifest,
    two_locks,
)
from tests.conftest import CACHE, Ran, run_envctl
from tests.test_disk import mounts, on
from tests.test_interrupt import started, wait_for

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return two_locks(tmp_path_factory.mktemp("locks"))


@pytest.fixture(scope="module")
def bundle(locks: list[Path]) -> Path:
    return bundle_of(locks)


# ---- damaged on the way


@pytest.mark.parametrize("damage", ["missing", "cut off", "changed"])
def test_a_damaged_part_is_named_and_nothing_of_it_is_kept(bundle: Path, tmp_path: Path, damage: str) -> None:
    broken, cache = copied(bundle, tmp_path / "bundle"), tmp_path / "cache"
    first = first_part(broken)
    data = first.read_bytes()
    if damage == "missing":
        first.unlink()
    else:
        first.write_bytes(data[:-1] if damage == "cut off" else data[:-1] + bytes([data[-1] ^ 1]))
    ran = run_envctl("unbundle", broken, "--cache", cache)
    assert ran.code == 2, ran.err
    assert f"wheels/{first.name}" in ran.err
    assert [path.name for path in cache.rglob("*") if "partial" in path.name] == []
    for wheel in cache.glob("store/wheels/*.whl"):
        assert hashlib.sha256(wheel.read_bytes()).hexdigest() == wheel.stem
    assert not (cache / "locks").exists()
    first.write_bytes(data)
    ran = run_envctl("unbundle", broken, "--cache", cache)
    assert ran.code == 0, ran.err


def test_a_manifest_that_points_outside_is_refused(bundle: Path, tmp_path: Path) -> None:
    for path in ("../outside", "/etc/passwd", "wheels/../../outside", ".hidden"):
        folder = tmp_path / hashlib.sha256(path.encode()).hexdigest()
        folder.mkdir()
        data = manifest(bundle)
        data["files"][0]["path"] = path  # type: ignore[index]
        (folder / "bundle.json").write_text(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        ran = run_envctl("unbundle", folder, "--cache", tmp_path / "cache")
        assert (ran.code, "is not a whole bundle" in ran.err) == (2, True), ran.err


def test_a_damaged_wheel_of_the_cache_is_taken_again(bundle: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert run_envctl("unbundle", bundle, "--cache", cache).code == 0
    wheel = next(iter(cache.glob("store/wheels/*.whl")))
    wheel.write_bytes(b"damaged")
    told = run_envctl("unbundle", bundle, "--cache", cache, "--json").json
    assert told["new"] == 1
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == wheel.stem


def test_another_answer_is_replaced_and_named(bundle: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert run_envctl("unbundle", bundle, "--cache", cache).code == 0
    kept = next(iter((cache / "locks").glob("*.json")))
    text = kept.read_text()
    kept.write_text("{}\n")
    told = run_envctl("unbundle", bundle, "--cache", cache, "--json").json
    assert told["replaced"] == [kept.name]
    assert kept.read_text() == text


# ---- not to its end


def test_killed_half_way_and_finished(bundle: Path, locks: list[Path], tmp_path: Path) -> None:
    """What a kill leaves is no bundle for anybody, and the next run goes on from it."""
    folder = tmp_path / "half"
    given = ("bundle", *locks, "-o", folder, "--split", "4M", "--python", "3.10,3.11,3.12", "--offline")
    with started(*given, cache=CACHE, cwd=tmp_path) as process:
        wait_for(lambda: len(list(folder.glob("wheels/*.whl*"))) > 5, "the sixth file")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (folder / "bundle.json").exists()
    ran = run_envctl("unbundle", folder, "--cache", tmp_path / "cache")
    assert (ran.code, "it was not finished" in ran.err) == (2, True)
    done = {path: path.stat().st_ino for path in folder.glob("wheels/[!.]*")}
    ran = run_envctl(*given)
    assert ran.code == 0, ran.err
    assert files(folder) == files(bundle)
    assert all(path.stat().st_ino == inode for path, inode in done.items())


@mounts
@pytest.mark.usefixtures("bundle")
def test_full_disk_under_the_bundle(locks: list[Path], tmp_path: Path) -> None:
    given = ("bundle", *locks, "-o", tmp_path / "out", "--split", "4M", "--offline")
    ran, left = on(tmp_path / "out", "size=20m", *given, cwd=tmp_path)
    assert (ran.code, "no space left" in ran.err) == (4, True), ran.err
    assert "bundle.json" not in left
    assert [path for path in left if "partial" in path] == []


@mounts
def test_full_disk_under_the_cache(bundle: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    ran, left = on(cache, "size=20m", "unbundle", bundle, cwd=tmp_path, cache=cache)
    assert (ran.code, "no space left" in ran.err) == (4, True), ran.err
    assert [path for path in left if "partial" in path] == []


def test_two_at_once_do_not_write_into_one_folder(locks: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "one"
    given = ("bundle", *locks, "-o", folder, "--offline")
    with started(*given, cache=CACHE, cwd=tmp_path) as process:
        wait_for((folder / ".unfinished").exists, "the first file")
        process.send_signal(signal.SIGSTOP)
        ran = run_envctl(*given)
        process.send_signal(signal.SIGCONT)
    assert (ran.code, "another envctl writes to" in ran.err) == (4, True), ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.lock"], "cannot read the lock none.lock"),
        (["--split", "60 MB"], "is no size"),
        (["--split", "10"], "is no size"),
        (["--python", "3"], "is not a minor version"),
        (["--python", "3.8"], "envctl runs on CPython"),
        (["--image"], "no target of these locks has a base"),
    ],
)
def test_bad_input(envctl: Program, locks: list[Path], arguments: list[str], words: str) -> None:
    given = arguments if "none.lock" in arguments else [locks[0], *arguments]
    ran = envctl("bundle", *given, "-o", "out", "--offline")
    assert (ran.code, words in ran.err) == (2, True), ran.err


def test_a_folder_with_something_else_is_left_alone(envctl: Program, locks: list[Path], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    ran = envctl("bundle", locks[0], "-o", "mine", "--offline")
    assert (ran.code, "holds something else" in ran.err) == (2, True)
    assert files(tmp_path / "mine") == {"file": b"mine"}
