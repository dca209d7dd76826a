"""`envctl run --lock FILE --runner docker`: containers stand on the base that the lock names, not on the newest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from envctl import image
from envctl.oci.base_image import BaseImage
from envctl.oci.content import Image, compact_json
from envctl.oci.push import push
from envctl.oci.reference import parse
from tests import building
from tests.building import built
from tests.conftest import CACHE, ROOT, Ran
from tests.images import layer, tar_of
from tests.registry_server import Server, registry
from tests.test_build_lock import NAME, NOWHERE, made, pinned, write

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> building.Order:
    return building.order(tmp_path_factory.mktemp("order"))


@pytest.fixture(scope="module")
def newest(docker_base: str) -> BaseImage:
    """The real base of the tests' cache, which Docker has under its name."""
    assert docker_base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENVCTL_CACHE", str(CACHE))
        found = image.here(image.base_named(NAME), [].append)
        image.in_docker(image.base_named(NAME), found, [].append)
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def marked(newest: BaseImage, server: Server) -> Iterator[str]:
    """The reference of another base of the same Python: it has a file more. Docker does not keep it."""
    mark = layer(tar_of({"etc/mark": b"the locked one\n"}))
    config = dict(newest.config)
    config["rootfs"] = {**config["rootfs"], "diff_ids": [*config["rootfs"]["diff_ids"], mark.diff_id]}
    config.pop("history", None)
    made = Image(config=compact_json(config), layers=(*newest.layers, mark))
    push(parse(f"{server.host}/marked:1"), made, [].append)
    yield f"{server.host}/marked@{made.digest}"
    docker.from_env().images.remove(f"envctl-base:{made.digest[7:19]}", force=True)


def run(lock: Path, cache: Path, *words: str) -> Ran:
    """A command in the lock's environment, by Docker, offline."""
    command = [
        sys.executable,
        "-m",
        "envctl",
        "run",
        "--offline",
        "--runner",
        "docker",
        "--lock",
        str(lock),
        "--",
        *words,
    ]
    variables = {**os.environ, "ENVCTL_CACHE": str(cache)}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def test_a_locked_base_of_a_registry_is_stood_on(
    order: building.Order, newest: BaseImage, marked: str, tmp_path: Path
) -> None:
    """A build brought base and wheels into the store; a lock without that base stands on the newest, as ever."""
    cache = building.new_cache(tmp_path / "cache")
    lock = write(tmp_path / "lock", order.lock, pinned(marked))
    built(lock, "--wheels", order.wheels, cache=cache, **NOWHERE)
    tag = docker.from_env().images.get(image.base_named(NAME).tag).id
    ran = run(lock, cache, "cat", "/etc/mark")
    assert (ran.code, ran.out) == (0, "the locked one\n"), ran.err
    assert run(lock, cache, "engine").out == "hello\n"
    assert docker.from_env().images.get(image.base_named(NAME).tag).id == tag  # the name is the newest's still
    other = write(tmp_path / "other", order.lock, made(newest))
    assert run(other, cache, "engine").out == "hello\n"
    assert run(other, cache, "cat", "/etc/mark").code != 0
    docker.from_env().images.remove(f"envctl-base:{newest.digest[7:19]}")


def test_a_locked_base_that_cannot_be_had_is_not_replaced(
    order: building.Order, newest: BaseImage, tmp_path: Path
) -> None:
    cache = building.new_cache(tmp_path / "cache")
    lock = write(tmp_path / "lock", order.lock, made(newest, libc6="9.9-9"))
    ran = run(lock, cache, "true")
    assert ran.code == 4 and f"the locked {NAME} is not on this machine" in ran.err
