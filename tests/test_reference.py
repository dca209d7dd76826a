"""Names of images, and the credentials that Docker's configuration has for their registries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envctl.errors import BadInput, EnvctlError, HostLacks
from envctl.oci.challenge import Authority, challenges
from envctl.oci.credentials import Credentials, credentials_for
from envctl.oci.reference import Reference, is_loopback, parse

DIGEST = "sha256:" + 64 * "a"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("host.test/a", ("host.test", "a", "", "")),
        ("host.test:5000/a/b_c/d--e:1.2-x", ("host.test:5000", "a/b_c/d--e", "1.2-x", "")),
        (f"localhost/a@{DIGEST}", ("localhost", "a", "", DIGEST)),
        (f"127.0.0.1:80/a:t@{DIGEST}", ("127.0.0.1:80", "a", "t", DIGEST)),
        ("[::1]:5000/a:t", ("[::1]:5000", "a", "t", "")),
        ("name", ("default.test", "library/name", "", "")),
        ("team/name:1", ("default.test", "team/name", "1", "")),
    ],
)
def test_references_are_read_as_docker_reads_them(
    text: str, parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVCTL_REGISTRY", "default.test")
    found = parse(text)
    assert (found.registry, found.repository, found.tag, found.digest) == parts
    assert parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("host.test/UPPER", "lower case only"),
        ("host.test/a:", "no tag"),
        ("host.test/a@sha256:123", "no sha256 digest"),
        ("host.test/a@sha512:" + 128 * "a", "no sha256 digest"),
        ("host.test/", "no repository"),
        ("host.test/../a", "no repository"),
        ("host.test/a b", "no repository"),
        ("https://host.test/a", "no host"),
        ("user:pw@host.test/a", "no sha256 digest"),
    ],
)
def test_other_words_are_refused(text: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVCTL_REGISTRY", "default.test")
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert why in caught.value.because[0].text and "pw" not in str(caught.value.as_data())


def test_without_a_default_registry_a_bare_name_is_a_question(stand_ins: Path) -> None:
    with pytest.raises(BadInput, match="which registry has name"):
        parse("name")
    config = stand_ins / "XDG_CONFIG_HOME/envctl/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[registry]\ndefault = "mine.test:1"\n')
    assert parse("name") == Reference(registry="mine.test:1", repository="library/name")


def test_plain_http_is_for_this_machine() -> None:
    assert all(is_loopback(name) for name in ("127.0.0.1:5000", "127.8.8.8", "localhost", "[::1]:80", "localhost:1"))
    assert not any(is_loopback(name) for name in ("10.0.0.1:5000", "localhost.test", "host.test:127"))


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration file of this test."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


@pytest.mark.parametrize(
    ("auths", "known"),
    [
        ({"host.test": {"auth": "dTpwOnE="}}, Credentials(user="u", password="p:q")),
        ({"https://host.test/v1/": {"username": "u", "password": "p"}}, Credentials(user="u", password="p")),
        ({"host.test": {"identitytoken": "t", "auth": "dTo="}}, Credentials(identity_token="t")),
        ({"host.test": {}}, None),
        ({"other.test": {"auth": "dTpw"}}, None),
    ],
)
def test_credentials_are_read(docker: Path, auths: object, known: Credentials | None) -> None:
    docker.write_text(json.dumps({"auths": auths}))
    assert credentials_for("host.test") == known


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ("{", BadInput),
        ("[]", BadInput),
        ('{"auths": []}', BadInput),
        ('{"auths": {"host.test": {"auth": "c2VjcmV0"}}}', BadInput),
        ('{"credsStore": "not-installed-here"}', HostLacks),
    ],
)
def test_configurations_that_cannot_be_used_are_named_without_their_secrets(
    docker: Path, config: str, kind: type[EnvctlError]
) -> None:
    docker.write_text(config)
    with pytest.raises(kind) as caught:
        credentials_for("host.test")
    assert "c2VjcmV0" not in str(caught.value.as_data()) and "secret" not in str(caught.value.as_data())


def test_a_program_that_fails_is_named_without_its_output(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker-credential-broken"
    program.write_text("#!/bin/sh\necho hush-hush; echo hush-hush >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    docker.write_text('{"credsStore": "broken"}')
    with pytest.raises(HostLacks, match="gave no credentials") as caught:
        credentials_for("host.test")
    assert "hush-hush" not in str(caught.value.as_data())


def test_secrets_do_not_show_in_representations() -> None:
    shown = repr(Credentials(user="u", password="hush", identity_token="hush"))
    assert "hush" not in shown


def test_challenges_are_read() -> None:
    header = 'Bearer realm="https://a.test/t?x=1,2",service="s \\"q\\"",scope="repository:a:pull,push", Basic realm="r"'
    scope = "repository:a:pull,push"
    bearer = {"realm": "https://a.test/t?x=1,2", "service": 's "q"', "scope": scope}
    assert challenges(header) == {"bearer": bearer, "basic": {"realm": "r"}}


def test_a_password_is_not_sent_in_the_clear() -> None:
    def send(*_: object, **__: object) -> None:
        raise AssertionError("the token server was asked")

    known = Credentials(user="u", password="p")
    authority = Authority(registry="host.test", credentials=lambda: known, send=send, insecure=False)
    with pytest.raises(HostLacks, match="in the clear"):
        authority.learn('Bearer realm="http://tokens.test/"', "repository:a:pull", "")
