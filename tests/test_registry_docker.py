"""What Docker and podman make of what was pushed, and envctl of what Docker pushed: the same real registry."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from envctl.oci.archive import docker_archive
from envctl.oci.base_image import BaseImage
from envctl.oci.base_sources import from_registry, mirror
from envctl.oci.bases import newest, stored_base
from envctl.oci.blobs import DOCKER_MANIFEST
from envctl.oci.content import Image, compact_json
from envctl.oci.docker_archive import read_archive
from envctl.oci.push import push
from envctl.oci.reference import parse
from envctl.oci.registry import Registry
from envctl.oci.source import push_from
from tests.conftest import run_envctl
from tests.images import image, layer, noise, quiet, run, tar_of
from tests.registry_server import Server, registry

BASE = "debian:bookworm"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def base(docker_base: str, cache: Path) -> BaseImage:
    """The base in the store of the tests' cache, made when it is not there."""
    if not newest(BASE):
        made = run_envctl("base", BASE)
        assert made.code == 0, made.err
    found = stored_base(newest(BASE), BASE)
    assert found and docker_base and cache
    return found


@pytest.mark.docker
def test_docker_runs_by_digest_what_was_pushed(server: Server, base: BaseImage) -> None:
    """A layer of ours on a base made here, which is mounted from the base's repository."""
    copy = mirror(BASE, [BASE], parse(f"{server.host}/base:1"), quiet)
    assert copy.digest == base.digest
    pulled = from_registry(parse(f"{server.host}/base@{base.digest}"), quiet)
    ours = layer(tar_of({"opt/hello.py": b"print(6 * 7)"}))
    diff_ids = [each.diff_id for each in (*pulled.layers, ours)]
    config = compact_json(pulled.config | {"rootfs": {"type": "layers", "diff_ids": diff_ids}})
    done = push(parse(f"{server.host}/ours:1"), Image(config=config, layers=(*pulled.layers, ours)), quiet)
    assert done.blobs == {"mounted": 1, "sent": 2}
    try:
        assert run("docker", "run", "--rm", "--network=none", done.ref, "python3", "/opt/hello.py") == "42\n"
    finally:
        subprocess.run(["docker", "rmi", str(done.ref)], check=False, capture_output=True)


@pytest.mark.docker
def test_the_base_in_docker_has_the_very_layer(base: BaseImage) -> None:
    """`envctl run --runner docker` finds it by its tag; an import of the same bits has the same id everywhere."""
    from envctl.oci.load import load_image  # what `envctl base` does after making
    from envctl.runner.docker import DockerRunner

    tag = "envctl-base-test:x"
    try:
        identifier = load_image(base.image, [tag], quiet).identifier
        found = json.loads(run("docker", "image", "inspect", tag))[0]
        assert found["RootFS"]["Layers"] == [each.diff_id for each in base.layers]
        assert identifier == found["Id"] == base.image.config_descriptor.digest
        assert BASE in DockerRunner().present
    finally:
        subprocess.run(["docker", "rmi", tag], check=False, capture_output=True)


@pytest.mark.docker
def test_what_docker_pushed_is_pulled_and_its_archive_is_read(server: Server, docker_base: str, tmp_path: Path) -> None:
    assert docker_base
    made = image(layer(tar_of({"a": noise(100_000)})), layer(tar_of({"b": b"2"}), packed=False))
    name = f"{server.host}/docker/pushed:1"
    (tmp_path / "image.tar").write_bytes(b"".join(docker_archive(list(made.layers), [name], lambda: made)))
    try:
        run("docker", "load", "-i", tmp_path / "image.tar")
        run("docker", "push", name)
        client = Registry(server.host, say=quiet)
        assert client.manifest(parse(name)).media_type == DOCKER_MANIFEST
        pulled = from_registry(parse(name), quiet)
        assert [each.diff_id for each in pulled.layers] == [each.diff_id for each in made.layers]
        assert [b"".join(each.tar()) for each in pulled.layers] == [b"".join(each.tar()) for each in made.layers]
        # a copy keeps Docker's own manifest, byte for byte
        copy = mirror(name, [], parse(f"{server.host}/copied:1"), quiet)
        assert copy.digest == pulled.digest == client.manifest(parse(f"{server.host}/copied:1")).digest
        run("docker", "save", "-o", tmp_path / "saved.tar", name)
    finally:
        subprocess.run(["docker", "rmi", name], check=False, capture_output=True)
    saved = read_archive(tmp_path / "saved.tar")
    assert saved.config == made.config
    done = push_from(f"docker-archive:{tmp_path / 'saved.tar'}", parse(f"{server.host}/saved:1"), quiet)
    again = from_registry(parse(f"{server.host}/saved@{done.digest}"), quiet)
    assert [each.diff_id for each in again.layers] == [each.diff_id for each in made.layers]


def test_podman_pulls_what_was_pushed(server: Server) -> None:
    if not shutil.which("podman"):
        pytest.skip("no podman (apt-get install podman)")
    made = image(layer(tar_of({"a": noise(100_000)})), layer(tar_of({"b": b"2"}), packed=False), Env=["A=1"])
    done = push(parse(f"{server.host}/podman:1"), made, quiet)
    with tempfile.TemporaryDirectory(prefix="pod", dir="/tmp") as folder:  # podman takes no long path
        podman = ["podman", "--root", f"{folder}/a", "--runroot", f"{folder}/b", "--storage-driver", "vfs"]
        run(*podman, "pull", "-q", "--tls-verify=false", str(done.ref))
        found = json.loads(run(*podman, "image", "inspect", str(done.ref)))[0]
        run(*podman, "rmi", str(done.ref))
    assert found["RootFS"]["Layers"] == [each.diff_id for each in made.layers]
    assert found["Digest"] == made.digest and f"sha256:{found['Id']}" == made.config_descriptor.digest
