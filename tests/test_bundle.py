"""Bundles of a real environment (ONNX Runtime and NumPy from their wheels): written, damaged, carried, used without
network."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundling import (
    ORT,
    copied,
    envctl_alone,
    files,
    first_part,
    interpreter,
    isolated,
    kept_bundles,
    no_routes,
    tools,
)
from tests.conftest import CACHE, ROOT, Ran, run_envctl
from tests.test_disk import mounts, on
from tests.test_interrupt import started, wait_for

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two locks that share most wheels: one for this Python alone, one with NumPy held back."""
    folder = tmp_path_factory.mktemp("locks")
    made = []
    for name, more in (("plain", []), ("pinned", ["--pin", "flatbuffers=<25"])):
        path = folder / f"{name}.lock"
        given = ["--ort", ORT, *more, "--target", f"python={HERE}", "--base", "none"]
        ran = run_envctl("lock", *given, "-o", path)
        assert ran.code == 0, ran.err
        made.append(path)
    return made


@pytest.fixture(scope="module")
def bundle(locks: list[Path]) -> Path:
    """The bundle of both, with files cut at 4 MB and envctl for three Pythons."""
    folder = kept_bundles() / "two"
    ran = run_envctl("bundle", *locks, "-o", folder, "--split", "4M", "--python", "3.10,3.11,3.12")
    assert ran.code == 0, ran.err
    return folder


def manifest(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "bundle.json").read_bytes())
    return found


# ---- what is written


def test_sums_are_right_for_sha256sum_and_name_every_file(bundle: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"],
        cwd=bundle,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    listed = {line.split("  ", 1)[1] for line in (bundle / "SHA256SUMS").read_text().splitlines()}
    assert listed | {"SHA256SUMS"} == set(files(bundle))


def test_no_file_is_larger_than_the_split_and_parts_join_to_the_wheel(bundle: Path) -> None:
    assert max(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) <= 4_000_000
    first = first_part(bundle)
    parts = sorted(first.parent.glob(f"{first.stem}.*"))
    wanted = next(each for each in manifest(bundle)["files"] if each["path"] == f"wheels/{first.stem}")  # type: ignore[attr-defined]
    assert hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest() == wanted["sha256"]
    assert len(parts) == -(-wanted["size"] // 4_000_000)


def test_a_wheel_of_two_locks_lies_there_once(bundle: Path, locks: list[Path]) -> None:
    """Both locks, the reference and envctl itself need this NumPy."""
    hashes = [each["sha256"] for each in manifest(bundle)["files"]]  # type: ignore[attr-defined]
    assert len(hashes) == len(set(hashes))
    numpy = [
        each
        for each in manifest(bundle)["files"]
        if "/numpy-" in each["path"] and f"cp{HERE.replace('.', '')}-" in each["path"]
    ]  # type: ignore[attr-defined]
    assert [each["roles"] for each in numpy] == [["own", "wheel"]]
    wheels = [set(_wheels(path)) for path in locks]
    assert wheels[0] & wheels[1] and wheels[0] != wheels[1]
    assert wheels[0] | wheels[1] <= set(hashes)


def _wheels(lock: Path) -> list[str]:
    found = json.loads(lock.read_bytes())
    return [package["sha256"] for target in found["targets"] for package in target["environment"]["packages"]]


def test_the_same_locks_give_the_same_bytes_in_any_order_and_without_network(
    bundle: Path, locks: list[Path], tmp_path: Path
) -> None:
    given = ["--split", "4M", "--python", "3.12,3.11,3.10", "--offline"]
    ran = run_envctl("bundle", *reversed(locks), "-o", tmp_path / "again", *given, PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    assert ran.code == 0, ran.err
    assert files(tmp_path / "again") == files(bundle)


def test_what_is_there_and_right_is_not_written_again(bundle: Path, locks: list[Path]) -> None:
    before = {path: path.stat() for path in bundle.rglob("*") if path.is_file() and path.parent != bundle}
    first = first_part(bundle)
    data = first.read_bytes()
    first.write_bytes(b"x" + data[1:])  # the same size, another content
    extra = bundle / "wheels" / "left-from-another-lock.whl"
    extra.write_bytes(b"")
    ran = run_envctl("bundle", *locks, "-o", bundle, "--split", "4M", "--python", "3.10,3.11,3.12", "--offline")
    assert ran.code == 0, ran.err
    assert first.read_bytes() == data
    assert not extra.exists()
    kept = [path for path, stat in before.items() if path.stat().st_ino == stat.st_ino and path != first]
    assert len(kept) == len(before) - 1


def test_json_tells_what_is_in_it(bundle: Path, locks: list[Path]) -> None:
    given = ["--split", "4M", "--python", "3.10,3.11,3.12", "--offline", "--json"]
    told = run_envctl("bundle", *locks, "-o", bundle, *given).json
    assert told["digest"] == hashlib.sha256((bundle / "bundle.json").read_bytes()).hexdigest()
    assert told["locks"] == ["locks/pinned.lock", "locks/plain.lock"]
    assert [each["python"] for each in told["own"]] == ["3.10", "3.11", "3.12"]
    assert sum(each["size"] for each in told["by_kind"].values()) == told["size"]


def test_envctls_own_wheel_holds_what_its_data_folders_and_package_hold(bundle: Path, tmp_path: Path) -> None:
    parts = sorted(bundle.glob("wheels/envctl-*.whl*"))
    (tmp_path / "envctl.whl").write_bytes(b"".join(part.read_bytes() for part in parts))
    names = set(zipfile.ZipFile(tmp_path / "envctl.whl").namelist())
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "envctl").rglob("*") if path.is_file()}
    for data in ("matrices", "images", "probes", "symptoms"):
        there |= {f"envctl/{path.relative_to(ROOT)}" for path in (ROOT / data).rglob("*") if path.is_file()}
    assert {name for name in names if ".dist-info/" not in name} == {
        name for name in there if "__pycache__" not in name and "/." not in name
    }


def test_the_pythons_that_envctl_runs_on_are_those_of_pyproject() -> None:
    from envctl.workflow.bundle_locks import RUNS_ON

    assert f'requires-python = "{RUNS_ON}"' in (ROOT / "pyproject.toml").read_text()


# ---- used without network


@no_routes
def test_round_trip_without_any_route(bundle: Path, digits: Path, tmp_path: Path) -> None:
    """Another home, an empty uv cache, a cache that was filled by unbundle alone: with the lock, and with its pins."""
    home = tmp_path / "home"
    ran = envctl_alone("unbundle", bundle, "--json", home=home)
    assert ran.code == 0, ran.err
    assert ran.json["there"] == 0
    lock = next(path for path in ran.json["locks"] if path.endswith("plain.lock"))
    run = ("run", "--offline", "--runner", "local")
    ran = envctl_alone(*run, "--lock", lock, "convert", digits, "-o", "out", "--json", home=home)
    assert ran.code == 0, ran.err
    assert ran.json["status"] == "passed"
    assert (home / "out/digits.ort.onnx").is_file()
    ran = envctl_alone(*run, "--ort", ORT, "--python", HERE, "verify", digits, "--json", home=home)
    assert (ran.code, ran.json["status"]) == (0, "passed"), ran.err
    ran = envctl_alone(*run, "--ort", ORT, "--pin", "flatbuffers=<25", "verify", digits, "--json", home=home)
    assert ran.code == 0, ran.err
    assert ran.json["target"]["locked"]["packages"]["flatbuffers"].startswith("24.")
    again = envctl_alone("unbundle", bundle, "--json", home=home).json
    assert (again["new"], again["replaced"]) == (0, [])


@no_routes
def test_what_was_not_carried_over_is_said_with_what_was(bundle: Path, digits: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert envctl_alone("unbundle", bundle, home=home).code == 0
    ran = envctl_alone("run", "--offline", "--runner", "local", "--ort", "1.30", "verify", digits, home=home)
    assert ran.code == 4
    assert f"kept: onnxruntime {ORT}" in ran.err
    assert "envctl bundle" in ran.err
    assert not list((home / ".cache/envctl/environments").glob("*"))


@pytest.mark.slow
@no_routes
@pytest.mark.parametrize("minor", ["3.10", "3.11", "3.12"])
def test_install_on_a_bare_python(bundle: Path, minor: str, tmp_path: Path) -> None:
    """The installer needs sh and one CPython; the envctl that it installs is whole."""
    home = tmp_path / "home"
    ran = isolated("sh", bundle / "install.sh", home=home, path=interpreter(minor).parent)
    assert ran.code == 0, ran.err
    envctl = home / ".local/bin/envctl"
    ran = isolated(envctl, "matrix", "check", home=home)
    assert (ran.code, "nothing to mend" in ran.out) == (0, True), ran.err
    assert len(list((home / ".cache/envctl/store/wheels").glob("*.whl"))) > 4
    again = isolated("sh", bundle / "install.sh", home=home, path=interpreter(minor).parent)
    assert again.code == 0
    assert "installing envctl" not in again.err


@pytest.mark.slow
@no_routes
def test_install_where_python_has_no_venv_module(bundle: Path, tmp_path: Path) -> None:
    """As on Debian without python3-venv and ensurepip; uv from its wheel does it."""
    python, home = interpreter("3.11"), tmp_path / "home"
    crippled = tmp_path / "bin" / "python3"
    crippled.parent.mkdir()
    crippled.write_text(f'#!/bin/sh\ncase "$*" in *"-m venv"*) exit 1;; esac\nexec {python} "$@"\n')
    crippled.chmod(0o755)
    text = (bundle / "install.py").read_text().replace('sys.executable, "-I", "-m"', f'"{crippled}", "-I", "-m"')
    whole = copied(bundle, tmp_path / "bundle")
    (whole / "install.py").write_text(text)
    _sum_again(whole, "install.py")
    ran = isolated("sh", whole / "install.sh", home=home, path=crippled.parent)
    assert ran.code == 0, ran.err
    assert "using uv from its wheel" in ran.err
    assert isolated(home / ".local/bin/envctl", "--version", home=home).code == 0


def _sum_again(folder: Path, name: str) -> None:
    """The installer of a test that was altered, with its new hash."""
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    lines = [f"{digest}  {name}" if line.endswith(f"  {name}") else line for line in lines]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


@no_routes
def test_install_refuses_an_old_python_a_damaged_and_an_unfinished_bundle(bundle: Path, tmp_path: Path) -> None:
    home, old = tmp_path / "home", interpreter("3.9")
    alone = {"PATH": str(tools(tmp_path / "tools"))}
    ran = isolated("sh", bundle / "install.sh", home=home, PYTHON=str(old), **alone)
    assert (ran.code, "the bundle has no envctl for this Python" in ran.err) == (4, True)
    ran = isolated("sh", bundle / "install.sh", home=home, **alone)
    assert (ran.code, "this machine has no CPython 3" in ran.err) == (4, True)
    broken = copied(bundle, tmp_path / "bundle")
    first = first_part(broken)
    first.unlink()
    (broken / "own/requirements-3.11-x86_64.txt").write_text("")
    ran = isolated("sh", broken / "install.sh", home=home, path=interpreter("3.11").parent)
    assert ran.code == 2
    assert f"wheels/{first.name}  missing" in ran.err
    assert "requirements-3.11-x86_64.txt  damaged" in ran.err
    (broken / "bundle.json").unlink()
    ran = isolated("sh", broken / "install.sh", home=home, path=interpreter("3.11").parent)
    assert (ran.code, "is not a whole bundle" in ran.err) == (2, True)
    assert not (home / ".local").exists()


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


# ---- with containers


@pytest.mark.slow
@pytest.mark.docker
@no_routes
def test_base_and_image_go_along_and_the_docker_runner_works_without_network(
    digits: Path, docker_base: str, tmp_path: Path
) -> None:
    """Every blob is there once, Docker gets the image that the bundle names, and the base is enough to run."""
    import docker

    lock, folder, home = tmp_path / "based.lock", tmp_path / "bundle", tmp_path / "home"
    assert run_envctl("lock", "--ort", ORT, "--target", "python=3.11", "-o", lock).code == 0
    ran = run_envctl("bundle", lock, "-o", folder, "--image", "--split", "60M", "--python", HERE, "--json")
    assert ran.code == 0, ran.err
    base, image = ran.json["pictures"]
    blobs = [Path(each["path"]).name for each in ran.json["files"] if each["path"].startswith("oci/blobs/")]
    assert len(blobs) == len(set(blobs))
    index = json.loads((folder / "oci/index.json").read_bytes())
    assert {each["digest"] for each in index["manifests"]} == {base["digest"], image["digest"]}
    client = docker.from_env()
    before = client.images.get(docker_base).id
    try:
        ran = envctl_alone("unbundle", folder, "--load", "--json", home=home, DOCKER_HOST="unix:///var/run/docker.sock")
        assert ran.code == 0, ran.err
        assert set(ran.json["loaded"]) == {*base["names"], *image["names"]}
        assert client.images.get(docker_base).id == before  # the same files were there: nothing was sent
        manifest_of = json.loads((folder / "oci/blobs/sha256" / image["digest"].removeprefix("sha256:")).read_bytes())
        assert client.images.get(image["names"][0]).id == manifest_of["config"]["digest"]
        home.chmod(0o755)
        given = ("run", "--offline", "--runner", "docker", "--lock", ran.json["locks"][0], "verify", digits, "--json")
        ran = envctl_alone(*given, home=home, DOCKER_HOST="unix:///var/run/docker.sock")
        assert (ran.code, ran.json["status"], ran.json["runner"]["name"]) == (0, "passed", "docker"), ran.err
    finally:
        client.images.remove(image["names"][0], force=True)
