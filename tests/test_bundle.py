"""Bundles of a real environment (ONNX Runtime and NumPy from their wheels): written, damaged, carried, used without
network."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundling import (
    HERE,
    ORT,
    bundle_of,
    copied,
    envctl_alone,
    files,
    first_part,
    interpreter,
    isolated,
    manifest,
    no_routes,
    tools,
    two_locks,
)
from tests.conftest import ROOT, Ran, run_envctl

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return two_locks(tmp_path_factory.mktemp("locks"))


@pytest.fixture(scope="module")
def bundle(locks: list[Path]) -> Path:
    return bundle_of(locks)


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
