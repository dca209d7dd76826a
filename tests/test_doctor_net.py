"""`envctl doctor --net` against real servers on loopback: each broken way, and its healthy twin."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from envctl.doctor.check import Facts, Verdict
from envctl.doctor.checks import CHECKS
from envctl.doctor.judge import judge
from envctl.host import ALL_PROBES, Fact, HostFacts, collect, start_probes
from tests.broken_host import BrokenHost
from tests.conftest import CACHE, ROOT, Ran
from tests.net_servers import (
    PASSWORD,
    USER,
    Answers,
    Authority,
    Proxy,
    Refusing,
    authority,
    closed_port,
    mute,
    real_registry,
    serving,
)  # fmt: skip

IDS = ("net.reach", "net.tls", "pip.index", "reg.auth", "net.proxy")
OURS = [check for check in CHECKS if check.id in IDS]
PROXIES = [name for it in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (it, it.upper())]
BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
Ask = Callable[..., dict[str, Verdict]]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody knows, and its certificate for localhost."""
    return authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """Variables of a user who has configured nothing, without Docker."""
    empty = dict.fromkeys([*PROXIES, *BUNDLES, *INDEXES, "UV_SYSTEM_CERTS", "UV_NATIVE_TLS", "ENVCTL_IMAGE"], "")
    own = {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path), "NETRC": str(tmp_path / "none")}
    return {**empty, **own, "PIP_CONFIG_FILE": os.devnull, "DOCKER_HOST": f"unix://{tmp_path}/none"}


@pytest.fixture
def ask(alone: dict[str, str]) -> Iterator[Ask]:
    """The verdicts of the network's checks, with these variables."""

    def asked(**variables: str) -> dict[str, Verdict]:
        host = collect(start_probes(("reach",), variables={**alone, **variables}), 20)
        return {verdict.id: verdict for verdict in judge(OURS, Facts(host=host))}

    yield asked


def index(port: int, scheme: str = "https", path: str = "/simple/", host: str = "localhost") -> dict[str, str]:
    return {"ENVCTL_INDEX_CORP": f"{scheme}://{host}:{port}{path}"}


def trusting(ours: Authority) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(ours.bundle), "PIP_CERT": str(ours.bundle)}


def only_level(verdicts: dict[str, Verdict], name: str, level: str) -> Verdict:
    """The verdict of a check, which is the only one that found something."""
    found = {it.id: it.finding.level for it in verdicts.values() if it.finding.level in ("WARN", "FAIL")}
    assert found == {name: level}, verdicts
    verdict = verdicts[name]
    assert verdict.finding.evidence and verdict.finding.affects and verdict.finding.fix
    assert all(" = " in line for line in verdict.finding.evidence)
    return verdict


# ---- the way there


def test_nothing_is_asked_without_net() -> None:
    assert "reach" not in ALL_PROBES
    verdicts = {it.id: it.finding for it in judge(OURS, Facts(host=HostFacts(facts={})))}
    for name in ("net.reach", "net.tls", "pip.index"):
        assert (verdicts[name].level, verdicts[name].said) == ("SKIP", "needs --net")


def test_a_user_who_configured_nothing(ask: Ask) -> None:
    assert {it.finding.said for it in ask().values() if it.id in IDS[:3]} == {"no index and no registry is configured"}


def test_an_index_that_answers_is_well(ask: Ask) -> None:
    with serving() as port:
        verdicts = ask(**index(port, "http"))
    assert verdicts["net.reach"].finding.level == verdicts["pip.index"].finding.level == "OK"
    assert verdicts["net.tls"].finding.level == "SKIP"


def test_a_closed_port(ask: Ask) -> None:
    verdict = only_level(ask(**index(closed_port())), "net.reach", "FAIL")
    assert "does not answer: Connection refused" in verdict.finding.said
    assert verdict.finding.fix[0] == "is the address right? it comes from: corp"


def test_a_name_without_an_address(ask: Ask) -> None:
    verdict = only_level(ask(**index(443, host="no-such-host.invalid")), "net.reach", "FAIL")
    assert "has no address here" in verdict.finding.said
    assert "getent hosts no-such-host.invalid" in verdict.finding.fix


def test_a_mute_server_costs_its_own_limit_only(ask: Ask) -> None:
    with mute() as silent, serving() as port:
        verdicts = ask(**index(silent, "http"), UV_INDEX=f"other=http://localhost:{port}/simple")
    verdict = only_level(verdicts, "net.reach", "FAIL")
    assert "no answer within 3 s" in verdict.finding.said
    assert f"localhost:{port} (UV_INDEX) = reached" in verdict.finding.evidence
    assert verdicts["pip.index"].finding.level == "OK"


# ---- proxies


def test_a_way_through_a_proxy(ask: Ask, ours: Authority) -> None:
    with serving(ours) as port, serving(handler=Proxy) as proxy:
        verdicts = ask(**index(port), **trusting(ours), https_proxy=f"http://localhost:{proxy}")
    assert verdicts["net.reach"].finding.level == verdicts["pip.index"].finding.level == "OK", verdicts


def test_a_dead_proxy(ask: Ask, ours: Authority) -> None:
    with serving(ours) as port:
        dead = f"http://somebody:hunter2@localhost:{closed_port()}"
        verdicts = ask(**index(port), **trusting(ours), https_proxy=dead)
        passed_over = ask(**index(port), **trusting(ours), https_proxy=dead, no_proxy="localhost")
    verdict = only_level(verdicts, "net.reach", "FAIL")
    assert "the proxy that the environment names does not let through" in verdict.finding.said
    assert "hunter2" not in str(verdicts)
    assert passed_over["pip.index"].finding.level == "OK", passed_over


def test_a_proxy_that_wants_a_login(ask: Ask) -> None:
    with serving(handler=Refusing) as proxy:
        verdict = only_level(ask(**index(443), https_proxy=f"http://localhost:{proxy}"), "net.reach", "FAIL")
    assert "it answered 407" in verdict.finding.said


def test_a_daemon_without_the_users_proxy(alone: dict[str, str], tmp_path: Path) -> None:
    """The recorded daemon has none: that matters only where a registry cannot be reached without."""
    host = BrokenHost("ubuntu22.04-docker28-a10", tmp_path)
    host.answers("network_environment", proxies=["https_proxy"], bundles={})
    (host.folder / "recorded.json").write_text(json.dumps(host.recorded))
    recorded = collect(start_probes(("containers", "dockerd", "network"), root=host.folder), 20)
    proxied = {**alone, "https_proxy": f"http://localhost:{closed_port()}"}
    levels = {}
    with serving() as port:
        for name, there in (("reached", port), ("not reached", closed_port())):
            logged_in(tmp_path, there, PASSWORD)
            found = replace(recorded, facts={**recorded.facts, **registry_says(proxied).facts})
            levels[name] = {it.id: it for it in judge(OURS, Facts(host=found))}["net.proxy"].finding.level
    assert levels == {"reached": "OK", "not reached": "FAIL"}
    assert {it.id: it for it in judge(OURS, Facts(host=recorded))}["net.proxy"].finding.level == "WARN"


# ---- TLS


def test_an_authority_that_nobody_knows(ask: Ask, ours: Authority) -> None:
    with serving(ours) as port:
        verdict = only_level(ask(**index(port)), "net.tls", "FAIL")
    assert "nothing here trusts" in verdict.finding.said
    assert "sudo update-ca-certificates" in verdict.finding.fix
    assert verdict.finding.needs_root


@pytest.mark.skipif(os.getuid() != 0, reason="only root can put another bundle in the system's place")
def test_an_authority_that_the_system_knows_and_python_does_not(ours: Authority, alone: dict[str, str]) -> None:
    """In a mount namespace of its own the host's bundle is the tests' authority."""
    probe = (
        f"mount --bind {ours.bundle} /etc/ssl/certs/ca-certificates.crt && exec {sys.executable} -I -S probes/reach.py"
    )
    levels = {}
    with serving(ours) as port:
        for name, more in (("without", {}), ("with", trusting(ours))):
            done = subprocess.run(
                ["unshare", "--mount", "sh", "-c", probe],
                env={**os.environ, **alone, **index(port), **more}, cwd=ROOT, capture_output=True, check=False,
            )  # fmt: skip
            if done.returncode:
                pytest.skip("nothing can be mounted here: " + done.stderr.decode())
            host = HostFacts(facts={"reach": told(done.stdout)})
            levels[name] = {it.id: it for it in judge(OURS, Facts(host=host))}["net.tls"].finding
    assert levels["without"].level == "FAIL"
    assert "a company's own authority" in levels["without"].said
    assert levels["without"].fix[0].startswith("export PIP_CERT=/etc/ssl/certs/ca-certificates.crt")
    assert levels["with"].level == "OK"


def told(printed: bytes) -> Fact:
    """The fact that the probe printed."""
    return Fact(**{name: it or "" if name == "error" else it for name, it in json.loads(printed)["facts"][0].items()})


def test_nobody_is_told_to_switch_tls_off() -> None:
    text = (ROOT / "envctl/doctor/checks/reach.py").read_text() + (ROOT / "envctl/doctor/checks/network.py").read_text()
    for words in ("trusted-host", "allow-insecure", "insecure-registries", "verify=False", "-k "):
        assert words not in text


def test_a_certificate_for_another_name(ask: Ask, tmp_path: Path) -> None:
    other = authority(tmp_path, name="other.example")
    with serving(other) as port:
        verdict = only_level(ask(**index(port), **trusting(other)), "net.tls", "FAIL")
    assert "is another name's" in verdict.finding.said


def test_a_certificate_that_ran_out(ask: Ask, tmp_path: Path) -> None:
    old = authority(tmp_path, days="0")  # until the second in which it was made
    time.sleep(1.1)
    with serving(old) as port:
        verdict = only_level(ask(**index(port), **trusting(old)), "net.tls", "FAIL")
    assert "is not valid at this host's time" in verdict.finding.said


def test_a_server_without_tls(ask: Ask) -> None:
    with serving() as port:
        verdict = only_level(ask(**index(port)), "net.tls", "FAIL")
    assert "speaks no TLS" in verdict.finding.said


# ---- logins


def test_an_index_that_wants_a_login(ask: Ask, tmp_path: Path) -> None:
    with serving() as port:
        verdict = only_level(ask(**index(port, "http", "/private/simple")), "pip.index", "WARN")
        (tmp_path / "netrc").write_text(f"machine localhost login {USER} password {PASSWORD}\n")
        (tmp_path / "netrc").chmod(0o600)
        by_netrc = ask(**index(port, "http", "/private/simple"), NETRC=str(tmp_path / "netrc"))
        in_address = ask(ENVCTL_INDEX_CORP=f"http://{USER}:{PASSWORD}@localhost:{port}/private/simple")
    assert "wants a login" in verdict.finding.said
    assert by_netrc["pip.index"].finding.level == in_address["pip.index"].finding.level == "OK"
    assert PASSWORD not in str(in_address)


def logged_in(folder: Path, port: int, password: str) -> None:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {f"localhost:{port}": {"auth": auth}}}))


def registry_says(variables: dict[str, str]) -> HostFacts:
    return collect(start_probes(("reach",), variables=variables), 20)


def refusal(host: HostFacts) -> str:
    """What reg.auth says of a login that a registry refuses, "" for none."""
    from envctl.doctor.checks.reach import refused_login

    found = refused_login(Facts(host=host))
    return f"{found.level}: {found.said}" if found else ""


@pytest.mark.skipif(not (shutil.which("docker-registry") and shutil.which("htpasswd")), reason="no registry here")
def test_a_real_registry_and_a_login_that_went_stale(alone: dict[str, str], tmp_path: Path) -> None:
    with real_registry(tmp_path) as port:
        answers = {}
        for password in (PASSWORD, "stale"):
            logged_in(tmp_path, port, password)
            answers[password] = registry_says(alone)
    (place,) = answers[PASSWORD].facts["reach"].value
    assert place["login"] == {"from": "file", "status": 200}
    assert refusal(answers[PASSWORD]) == ""
    assert refusal(answers["stale"]).startswith("FAIL: localhost:")
    assert "stale" not in str(answers["stale"].facts)


@pytest.mark.parametrize(("granted", "said"), [(200, ""), (403, "WARN: ")])
def test_a_registry_that_hands_out_tokens_elsewhere(
    granted: int, said: str, alone: dict[str, str], tmp_path: Path
) -> None:
    class Tokens(Answers):
        seen: ClassVar[list[str]] = []

    Tokens.granted = granted

    class Registry(Answers):
        seen: ClassVar[list[str]] = []

    with serving(handler=Tokens) as tokens, serving(handler=Registry) as port:
        Registry.challenge = f'Bearer realm="http://localhost:{tokens}/token",service="tests"'
        logged_in(tmp_path, port, PASSWORD)
        found = refusal(registry_says(alone))
    assert found.startswith(said) and bool(found) == bool(said)
    assert all("Basic" not in line for line in Registry.seen)  # who hands out tokens gets the password, nobody else
    assert Tokens.seen[0].startswith(f"/token?service=tests&account={USER} Basic ")


def test_a_password_goes_nowhere_in_the_clear(alone: dict[str, str], tmp_path: Path) -> None:
    """A registry that sends the password to another machine without TLS does not get it sent."""

    class Registry(Answers):
        challenge = 'Bearer realm="http://192.0.2.1/token",service="tests"'
        seen: ClassVar[list[str]] = []

    with serving(handler=Registry) as port:
        logged_in(tmp_path, port, PASSWORD)
        (place,) = registry_says(alone).facts["reach"].value
    assert place["login"] == {"from": "file", "status": None}


# ---- the command


def test_the_command_asks_with_net_only(envctl: Callable[..., Ran], alone: dict[str, str], ours: Authority) -> None:
    class Index(Answers):
        seen: ClassVar[list[str]] = []

    with serving(ours, Index) as port:
        address = f"https://{USER}:{PASSWORD}@localhost:{port}/private/simple"
        variables = {**alone, **trusting(ours), "UV_DEFAULT_INDEX": address}
        without = envctl("doctor", "--only", "pip.index", "--json", **variables)
        assert not Index.seen
        asked = envctl("doctor", "--net", "--only", "pip.index", "--json", **variables)
        report = envctl("doctor", "--net", "--report", **variables)
    assert without.json["verdicts"][0]["finding"]["said"] == "needs --net"
    assert asked.json["verdicts"][0]["finding"]["level"] == "OK", asked.out
    assert f"localhost:{port}" not in report.out and "(pip.index)" in report.out
    for ran in (asked, report):
        assert PASSWORD not in ran.out + ran.err


def test_a_recorded_machine_has_no_network(envctl: Callable[..., Ran]) -> None:
    ran = envctl("doctor", "--net", "--root", ROOT / "tests/hosts/ubuntu22.04-desktop")
    assert ran.code == 2
    assert "no network" in ran.err


def test_an_interrupt_ends_what_was_being_asked(alone: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://localhost:{server.getsockname()[1]}/simple"
        command = [sys.executable, "-m", "envctl", "doctor", "--net"]
        variables = {**os.environ, **alone, "UV_DEFAULT_INDEX": address, "ENVCTL_CACHE": str(CACHE)}
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True)
        for _ in range(2):  # it looks whether somebody listens, then asks
            asking, _ = server.accept()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[1]
        with asking:
            asking.settimeout(20)
            while asking.recv(4096):
                pass  # what was asked; then the end: who asked is gone
    assert process.returncode == 130
    assert "Traceback" not in said
