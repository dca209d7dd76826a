"""`envctl build` from lock files: the base that the lock names and no other, wherever it is; and into registries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from envctl import image
from envctl.debian import DebianPackage, recipe_digest
from envctl.lock import Lock
from envctl.lockfile import Asked, LockedBase, LockFile, Target, Wanted
from envctl.oci import daemon
from envctl.oci.archive import docker_archive
from envctl.oci.base_image import BaseImage
from envctl.oci.base_sources import from_registry
from envctl.oci.bases import folder_of, stored_bases
from envctl.oci.local_base import from_daemon
from envctl.oci.push import push
from envctl.oci.reference import parse
from envctl.oci.registry import Registry
from envctl.runner.docker import DockerRunner
from envctl.workflow.build_base import Wish, base_for_lock
from tests import building
from tests.building import Order, build, built, new_cache
from tests.conftest import CACHE, run_envctl
from tests.images import image as image_of
from tests.images import layer, tar_of
from tests.registry_server import Server, registry
from tests.test_bases import with_python
from tests.test_build import digests
from tests.test_build_faults import assert_refused

NAME = "debian:bookworm"
NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    return building.order(tmp_path_factory.mktemp("order"))


@pytest.fixture(scope="module")
def base(docker_base: str) -> BaseImage:
    """The real base of the tests' cache."""
    assert docker_base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENVCTL_CACHE", str(CACHE))
        return image.here(image.base_named(NAME), [].append)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def made(base: BaseImage, **changed: str) -> LockedBase:
    """The base as a lock has it; the keywords are packages with other versions."""
    named = image.base_named(NAME)
    packages = tuple(
        DebianPackage(name=it.name, version=changed.get(it.name, it.version), arch=it.arch, size=1, sha256="0" * 64)
        for it in base.packages
    )
    return LockedBase(kind="made", name=NAME, suite=named.suite, recipe=recipe_digest(named), packages=packages)


def pinned(ref: str) -> LockedBase:
    return LockedBase(kind="registry", name=ref, digest=ref.partition("@")[2])


def write(folder: Path, environment: Lock, *bases: LockedBase | None) -> Path:
    """A lock file with a target for each base: one, two, …"""
    names = ("one", "two", "three")[: len(bases)]
    wanted = tuple(Wanted(name=name, arch="x86_64", facts="", pythons=("3.11",), base="auto") for name in names)
    targets = tuple(
        Target(name=name, stack=(), open=(), base=each, environment=environment)
        for name, each in zip(names, bases, strict=True)
    )
    asked = Asked(engine="onnxruntime", pins=(), targets=wanted)
    folder.mkdir(exist_ok=True)
    path = folder / "envctl.lock"
    path.write_text(LockFile(request=asked, inputs={}, targets=targets).text())
    return path


@pytest.fixture
def plain(order: Order, base: BaseImage, tmp_path: Path) -> dict[str, object]:
    """What the plain lock of the same environment comes to on the same base."""
    return built(*order.arguments, "--base", base.digest, cache=new_cache(tmp_path / "plain"))


# ---- a base made here


@pytest.mark.docker
def test_the_store_alone_is_enough(order: Order, base: BaseImage, tmp_path: Path, plain: dict[str, object]) -> None:
    """No network, no daemon, and nothing in the cache but store/bases; the lock lies where the command is run."""
    write(tmp_path / "here", order.lock, made(base))
    cache = tmp_path / "cache"
    (cache / "store").mkdir(parents=True)
    (cache / "store" / "bases").symlink_to(CACHE / "store" / "bases")
    wheels = ["--wheels", str(order.wheels)]
    alone = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--net", "--map-root-user"]
    done = built(*wheels, "--offline", cache=cache, cwd=tmp_path / "here", before=alone, **NOWHERE)
    assert digests(done) == digests(plain)
    assert done["base"]["digest"] == base.digest


@pytest.mark.docker
def test_another_package_is_named(order: Order, base: BaseImage, tmp_path: Path) -> None:
    version = next(each.version for each in base.packages if each.name == "libc6")
    locked = made(base, libc6="9.9-9")
    extra = DebianPackage(name="zzz", version="1", arch="all", size=1, sha256="0" * 64)
    lock = write(tmp_path / "lock", order.lock, replace(locked, packages=(*locked.packages, extra)))
    given = (lock, "--wheels", order.wheels)
    cache = new_cache(tmp_path / "cache")
    assert_refused(build(*given, "--offline", cache=cache), 4, f"the locked {NAME} is not on this machine")
    ran = build(*given, "--base", NAME, cache=cache)
    assert_refused(ran, 4, f"libc6 (amd64): locked 9.9-9, got {version}")
    assert "zzz (all): locked 1, got none" in ran.err
    lock = write(tmp_path / "other", order.lock, replace(locked, recipe="0" * 64))
    ran = build(lock, "--wheels", order.wheels, cache=cache)
    assert_refused(ran, 4, "another recipe")


@pytest.mark.slow
def test_a_base_that_is_not_here_is_made_and_compared(order: Order, base: BaseImage, tmp_path: Path) -> None:
    """By the real mmdebstrap from the real mirror; a real lock of today, and one that says something else."""
    own = tmp_path / "cache"
    locked = run_envctl("lock", "--ort", "1.31", "--target", "name=x,python=3.11", "-o", tmp_path / "real.lock")
    assert locked.code == 0, locked.err
    done = built(tmp_path / "real.lock", cache=own, **NOWHERE)
    again = built(tmp_path / "real.lock", "--offline", cache=own, **NOWHERE)
    assert digests(done) == digests(again)
    lock = write(tmp_path / "lock", order.lock, made(base, libc6="9.9-9"))
    ran = build(lock, "--wheels", order.wheels, cache=own, **NOWHERE)
    assert_refused(ran, 4, "libc6 (amd64): locked 9.9-9, got ")


# ---- a base of a registry


@pytest.mark.docker
def test_a_copy_with_the_locked_digest_is_the_base_and_no_other(
    order: Order, base: BaseImage, tmp_path: Path, server: Server, plain: dict[str, object]
) -> None:
    push(parse(f"{server.host}/copy:1"), base.image, [].append)
    lock = write(tmp_path / "lock", order.lock, pinned(f"127.0.0.1:1/gone@{base.digest}"))
    given, cache = (lock, "--wheels", order.wheels), tmp_path / "cache"
    assert_refused(build(*given, "--offline", cache=cache, **NOWHERE), 4, "is not on this machine")
    wrong = f"{server.host}/copy@sha256:{64 * '0'}"
    assert_refused(build(*given, "--base", wrong, cache=cache), 2, "not the one that the lock names")
    done = built(*given, "--base", f"{server.host}/copy@{base.digest}", cache=cache, **NOWHERE)
    assert digests(done) == digests(plain)
    # now it is here: the registry that the lock names need not be there any more
    assert digests(built(*given, "--offline", cache=cache, **NOWHERE)) == digests(plain)


def test_an_index_leads_to_the_image_for_this_machine_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path / "cache"))
    one = with_python()
    push(parse(f"{server.host}/multi:one"), one, [].append)
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": one.digest}
    entry |= {"size": len(one.manifest()), "platform": {"os": "linux", "architecture": "amd64"}}  # type: ignore[dict-item]
    kind = "application/vnd.oci.image.index.v1+json"
    index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}).encode()
    Registry(server.host, say=[].append).put_manifest(parse(f"{server.host}/multi:all"), index, kind)
    from envctl.oci.content import digest_of

    ref = parse(f"{server.host}/multi@{digest_of(index)}")
    assert from_registry(ref, [].append).digest == one.digest
    assert from_registry(ref, [].append, offline=True).digest == one.digest


# ---- which target


@pytest.mark.docker
def test_one_of_several_targets_is_chosen_by_name(order: Order, base: BaseImage, tmp_path: Path) -> None:
    lock, cache = write(tmp_path / "lock", order.lock, made(base), None), new_cache(tmp_path / "cache")
    given = (lock, "--wheels", order.wheels)
    assert_refused(build(*given, cache=cache), 2, "the lock has several targets")
    assert_refused(build(*given, "--target", "four", cache=cache), 2, "one of: one, two")
    assert built(*given, "--target", "one", cache=cache)["base"]["digest"] == base.digest
    assert_refused(build(*given, "--target", "two", cache=cache), 2, "the target two was locked without a base")
    assert built(*given, "--target", "two", "--base", NAME, cache=cache)["base"]["digest"] == base.digest
    assert_refused(build(*order.arguments, "--target", "one", cache=cache), 2, "has no targets")


def test_a_damaged_lock_file_is_refused(order: Order, tmp_path: Path) -> None:
    lock = write(tmp_path / "lock", order.lock, None)
    lock.write_text(lock.read_text().replace('"engine": "onnxruntime"', '"engine":  "onnxruntime"'))
    assert_refused(build(lock, cache=tmp_path / "cache"), 2, "was changed after it was written")


# ---- into a registry


@pytest.mark.docker
def test_an_image_is_pushed_with_what_is_missing(order: Order, base: BaseImage, tmp_path: Path, server: Server) -> None:
    cache, lock = new_cache(tmp_path / "cache"), write(tmp_path / "lock", order.lock, made(base))
    given = (lock, "--wheels", order.wheels, "--push")
    done = built(*given, f"{server.host}/ours:1", cache=cache, **NOWHERE)
    assert done["pushed"]["digest"] == done["manifest"] and done["pushed"]["blobs"] == {"sent": 4}
    again = built(*given, f"{server.host}/ours:2", cache=cache, **NOWHERE)
    assert again["pushed"]["blobs"] == {"there": 4} and again["pushed"]["sent_bytes"] == 0
    assert_refused(build(*given, f"{server.host}/UPPER:1", cache=cache), 2, "is no image reference")
    ref = done["pushed"]["ref"]
    try:
        said = subprocess.run(
            ["docker", "run", "--rm", "--network=none", ref, "engine"], capture_output=True, text=True, check=False
        )
        assert said.stdout == "hello\n", said.stderr
    finally:
        subprocess.run(["docker", "rmi", ref], check=False, capture_output=True)


# ---- a base of the local daemon


@pytest.mark.docker
def test_what_docker_has_from_here_is_recognised_and_not_saved_again(docker_base: str, base: BaseImage) -> None:
    image.in_docker(image.base_named(NAME), base, [].append)
    said: list[str] = []
    assert (from_daemon(docker_base, said.append).digest, said) == (base.digest, [])
    runner = DockerRunner()
    assert runner._base_in_docker(image.base_named(NAME), said.append).digest == base.digest and said == []
    assert daemon.image(docker_base)["Id"] == runner.images["3.11"] == base.image.config_descriptor.digest  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.docker
def test_a_base_read_from_docker_is_the_one_made_here_bit_for_bit(
    docker_base: str, base: BaseImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine whose store has nothing: the same tar, packed by the same program, under the same configuration."""
    image.in_docker(image.base_named(NAME), base, [].append)
    monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path / "empty"))
    said: list[str] = []
    assert image.here(image.base_named(NAME), said.append).digest == base.digest
    assert any("from Docker (once)" in line for line in said)
    assert [digest for digest, _ in stored_bases()] == [base.digest]
    said.clear()
    assert (from_daemon(docker_base, said.append).python, said) == (base.python, [])


@pytest.mark.slow
@pytest.mark.docker
def test_the_time_of_an_import_is_no_part_of_a_base(
    docker_base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert docker_base
    monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path / "cache"))
    files = tmp_path / "files.tar"
    files.write_bytes(b"".join(with_python().layers[0].tar()))
    ids = []
    for number in range(2):
        name = f"envctl-test-import:{number}"
        subprocess.run(["docker", "import", "-m", str(number), files, name], check=True, capture_output=True)
        ids.append((from_daemon(name, [].append).digest, daemon.image(name)["Id"]))  # type: ignore[index]
        subprocess.run(["docker", "rmi", name], check=True, capture_output=True)
    assert ids[0][0] == ids[1][0] and ids[0][1] != ids[1][1]
    assert len(stored_bases()) == 1


@pytest.mark.docker
def test_an_image_without_the_locked_python_is_no_base(order: Order, tmp_path: Path) -> None:
    name = "envctl-test-bare:1"
    bare = image_of(layer(tar_of({"a": b"1"}), packed=False))
    archive = tmp_path / "bare.tar"
    archive.write_bytes(b"".join(docker_archive(list(bare.layers), [name], lambda: bare)))
    subprocess.run(["docker", "load", "-i", archive], check=True, capture_output=True)
    try:
        ran = build(*order.arguments, "--base", name, cache=tmp_path / "cache")
    finally:
        subprocess.run(["docker", "rmi", name], check=False, capture_output=True)
    assert_refused(ran, 2, "the lock is for CPython 3.11, the base envctl-test-bare:1 has none")


@pytest.mark.docker
def test_a_stored_base_with_the_locked_packages_is_taken_whatever_it_is_called(
    base: BaseImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that came out of Docker bears Docker's name: it was made anew each time, and without network not found."""
    with monkeypatch.context() as patch:
        patch.setenv("ENVCTL_CACHE", str(CACHE))
        known = folder_of(base.digest)
    monkeypatch.setenv("ENVCTL_CACHE", str(tmp_path))
    here = folder_of(base.digest)
    shutil.copytree(known, here)
    index = here / "index.json"
    index.write_text(index.read_text().replace(NAME, "envctl-base:bookworm-py311"))
    assert [name for _, name in stored_bases()] == ["envctl-base:bookworm-py311"]
    locked = LockedBase(name=NAME, kind="made", packages=base.packages)
    assert base_for_lock(locked, "3.11", Wish(offline=True), [].append).digest == base.digest
