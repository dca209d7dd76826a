"""Bearer authorization: a real registry that takes tokens alone, and a server that signs them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from envctl.errors import HostLacks
from envctl.oci.push import push
from envctl.oci.reference import parse
from envctl.oci.registry import Registry
from tests.images import image, layer, noise, tar_of
from tests.registry_server import PASSWORD, USER, Server, registry
from tests.token_server import Tokens, token_server


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[Tokens]:
    with token_server(tmp_path) as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, tokens: Tokens) -> Iterator[Server]:
    with registry(tmp_path, auth=tokens.auth) as running:
        yield running


def log_in(folder: Path, monkeypatch: pytest.MonkeyPatch, host: str, entry: dict[str, str]) -> None:
    (folder / "config.json").write_text(json.dumps({"auths": {host: entry}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


def quiet(_: str) -> None:
    pass


@pytest.mark.parametrize("entry", [{"username": USER, "password": PASSWORD}, {"identitytoken": PASSWORD}])
def test_a_token_for_push_and_mount_is_asked_for(
    server: Server, tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: dict[str, str]
) -> None:
    log_in(tmp_path, monkeypatch, server.host, entry)
    base = tar_of({"a": noise(2 << 20)})
    made = image(layer(base))
    assert push(parse(f"{server.host}/base:1"), made, quiet).digest == made.digest
    mounted = image(layer(base, origin=f"{server.host}/base"), layer(tar_of({"b": b"1"})))
    assert push(parse(f"{server.host}/ours:1"), mounted, quiet).blobs == {"mounted": 1, "sent": 2}
    assert any({"repository:base:pull", "repository:ours:pull,push"} <= set(scopes) for _, scopes in tokens.asked)
    found = Registry(server.host, say=quiet).image(parse(f"{server.host}/ours:1"))
    assert found.manifest == mounted.manifest()


def test_tokens_that_have_expired_are_asked_for_again(
    server: Server, tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry allows a minute of leeway: a token that ended before that is refused, and a new one is got."""
    log_in(tmp_path, monkeypatch, server.host, {"username": USER, "password": PASSWORD})
    made = image(layer(tar_of({"a": noise(2 << 20)})))
    push(parse(f"{server.host}/a:1"), made, quiet)
    client, ref = Registry(server.host, say=quiet), parse(f"{server.host}/a:1")
    client.manifest(ref)
    scope = "repository:a:pull"
    tokens.seconds = -100
    client.http._authority._headers[scope] = f"Bearer {tokens.token((scope,))}"
    tokens.seconds, before = 300, len(tokens.asked)
    assert client.manifest(ref).digest == made.digest and len(tokens.asked) == before + 1


def test_wrong_credentials_at_the_token_server_are_named_without_them(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = b64encode(f"{USER}:hush-hush".encode()).decode()
    log_in(tmp_path, monkeypatch, server.host, {"auth": secret})
    with pytest.raises(HostLacks, match="refuses these credentials") as caught:
        push(parse(f"{server.host}/a:1"), image(layer(tar_of({"a": b"1"}))), quiet)
    assert "hush-hush" not in str(caught.value.as_data()) and secret not in str(caught.value.as_data())
