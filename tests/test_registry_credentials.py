"""What opens a registry that wants credentials: Docker's configuration and its programs; none and wrong ones."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from envctl.oci.written import write_layout
from tests.conftest import run_envctl
from tests.images import image, layer, noise, quiet, tar_of
from tests.registry_server import PASSWORD, USER, Server, htpasswd, registry

MIB = 1 << 20


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A registry that wants a user and a password."""
    folder = tmp_path_factory.mktemp("locked")
    with registry(folder, auth=htpasswd(folder)) as running:
        yield running


def docker_config(folder: Path, data: object) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(data))
    return str(folder)


def basic(user: str, password: str) -> dict[str, str]:
    from base64 import b64encode

    return {"auth": b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def layout(tmp_path: Path) -> str:
    write_layout(image(layer(tar_of({"a": noise(2 * MIB, 12)}))), tmp_path / "layout", ["x"], quiet)
    return f"oci:{tmp_path / 'layout'}"


def test_credentials_of_dockers_configuration_open_a_registry(locked: Server, layout: str, tmp_path: Path) -> None:
    config = docker_config(tmp_path / "docker", {"auths": {locked.host: basic(USER, PASSWORD)}})
    ran = run_envctl("push", layout, f"{locked.host}/a:1", "--json", DOCKER_CONFIG=config)
    assert ran.code == 0 and ran.json["blobs"] == {"sent": 2}, ran.err


def test_a_credential_program_is_asked(locked: Server, layout: str, tmp_path: Path) -> None:
    program = tmp_path / "docker-credential-tests"
    answer = json.dumps({"ServerURL": locked.host, "Username": USER, "Secret": PASSWORD})
    program.write_text(f'#!/bin/sh\nread server\ntest "$1 $server" = "get {locked.host}" && echo \'{answer}\'\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for number, data in enumerate(({"credHelpers": {locked.host: "tests"}}, {"credsStore": "tests"})):
        config = docker_config(tmp_path / f"docker{number}", data)
        ran = run_envctl("push", layout, f"{locked.host}/b{number}:1", DOCKER_CONFIG=config, **variables)
        assert ran.code == 0, ran.err


def test_no_and_wrong_credentials_are_told_apart_and_never_shown(locked: Server, layout: str, tmp_path: Path) -> None:
    none = run_envctl("push", layout, f"{locked.host}/c:1", DOCKER_CONFIG=docker_config(tmp_path / "1", {}))
    assert none.code == 4 and "wants credentials" in none.err and "docker login" in none.err
    secret = basic(USER, "wrong-but-secret")
    config = docker_config(tmp_path / "2", {"auths": {f"https://{locked.host}/v1/": secret}})
    wrong = run_envctl("push", layout, f"{locked.host}/c:1", DOCKER_CONFIG=config)
    assert wrong.code == 4 and "refuses these credentials" in wrong.err
    assert "wrong-but-secret" not in wrong.err + wrong.out and secret["auth"] not in wrong.err + wrong.out


def test_netrc_does_not_replace_what_docker_knows(locked: Server, layout: str, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login nobody password nothing\n")
    config = docker_config(tmp_path / "docker", {"auths": {locked.host: basic(USER, PASSWORD)}})
    ran = run_envctl("push", layout, f"{locked.host}/d:1", DOCKER_CONFIG=config, NETRC=str(tmp_path / "netrc"))
    assert ran.code == 0, ran.err
