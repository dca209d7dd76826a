"""Engines that are really broken: sockets that are not there, shut, or mute; a second Docker daemon set up badly."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from envctl.doctor.check import Facts, Verdict
from envctl.doctor.checks import docker, docker_host, network
from envctl.doctor.judge import judge
from envctl.host import collect, payload, start_probes

CHECKS = (*docker.CHECKS, *docker_host.CHECKS, *network.CHECKS)
PROBES = ("system", "nvidia", "containers", "dockerd", "network")
NOBODY = 65534
OWN_NETWORK = ("unshare", "--net", "--")


def found(monkeypatch: pytest.MonkeyPatch, address: str) -> dict[str, Verdict]:
    """What the checks say when DOCKER_HOST names this address."""
    monkeypatch.setenv("DOCKER_HOST", address)
    host = collect(start_probes(PROBES), seconds=20)
    return {verdict.id: verdict for verdict in judge(CHECKS, Facts(host=host))}


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket that takes connections and never answers."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "mute.sock"))
        server.listen(4)
        yield server


def test_socket_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    verdict = found(monkeypatch, f"unix://{tmp_path}/none.sock")["dk.socket"]
    assert verdict.finding.level == "FAIL"
    assert "absent" in verdict.finding.evidence[0]


def test_socket_that_a_daemon_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    verdict = found(monkeypatch, f"unix://{path}")["dk.socket"]
    assert verdict.finding.level == "FAIL"
    assert "refused" in verdict.finding.evidence[0]


def test_mute_daemon_costs_its_own_limit_only(monkeypatch: pytest.MonkeyPatch, listening: socket.socket) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{listening.getsockname()}")
    facts = collect(start_probes(("containers",)), seconds=20)
    assert "probe:containers" not in facts.facts  # the probe gave up by itself, long before it was given up
    verdict = {it.id: it for it in judge(CHECKS, Facts(host=facts))}["dk.socket"]
    assert verdict.finding.level == "FAIL"
    assert "does not answer" in verdict.finding.said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_socket_that_is_shut_for_this_user(listening: socket.socket, tmp_path: Path) -> None:
    path = Path(listening.getsockname())
    path.chmod(0o600)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    probes = shutil.copytree(payload("probes"), tmp_path / "probes")
    done = subprocess.run(
        ["/usr/bin/env", "-i", f"DOCKER_HOST=unix://{path}", _python(), "-I", "-S", str(probes / "containers.py")],
        capture_output=True, text=True, check=True, user=NOBODY, group=NOBODY, extra_groups=[],
    )  # fmt: skip
    facts = {it["name"]: it["value"] for it in json.loads(done.stdout)["facts"]}
    assert facts["docker_sockets"][0]["state"] == "denied"


def _python() -> str:
    """A Python that other users may run."""
    return next(it for it in ("/usr/bin/python3", sys.executable) if Path(it).exists())


def test_engine_elsewhere_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = found(monkeypatch, "tcp://192.0.2.1:2375")["dk.socket"]
    assert verdict.finding.level == "SKIP"
    assert "not asked" in verdict.finding.said


class Daemon:
    """A Docker daemon of the test's own: socket, data and settings lie in one folder, and it has a network namespace of
    its own: with --bridge=none a daemon takes docker0 away from its neighbour."""

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        self.folder, self.address = folder, f"unix://{folder}/d.sock"
        self.log = (folder / "log").open("w")
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid", "config-file": "daemon.json"}
        (folder / "daemon.json").write_text("{}")
        flags = [f"--{name}={folder / place}" for name, place in places.items()]
        flags += ["--bridge=none", "--iptables=false", "--ip6tables=false", f"--host={self.address}", *options]
        plain = {name: it for name, it in os.environ.items() if not name.lower().endswith("_proxy")}
        # unshare becomes dockerd, so that signals reach it
        command = [*OWN_NETWORK, "dockerd", *flags]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env={**plain, **variables})

    def answers(self) -> bool:
        """Whether it came up within half a minute."""
        for _ in range(120):
            if self.process.poll() is not None:
                return False
            command = ["docker", "--host", self.address, "version"]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return True
            time.sleep(0.25)
        return False

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


@pytest.fixture(scope="module")
def bad_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with the storage vfs on a small disk that is nearly full, without the proxy that its user has."""
    if os.getuid() != 0 or not shutil.which("dockerd"):
        pytest.skip("only root can start a Docker daemon")
    if subprocess.run([*OWN_NETWORK, "true"], check=False).returncode:
        pytest.skip("no network namespace can be made here")
    folder = tmp_path_factory.mktemp("d")
    (folder / "data").mkdir()
    small = ["mount", "-t", "tmpfs", "-o", "size=96m,nr_inodes=4096", "tmpfs", str(folder / "data")]
    if subprocess.run(small, check=False).returncode:
        pytest.skip("nothing may be mounted here")
    daemon = Daemon(folder, "--storage-driver=vfs")
    try:
        if not daemon.answers():
            pytest.skip("no second Docker daemon starts here: " + (folder / "log").read_text()[-300:])
        yield daemon
    finally:
        daemon.stop()
        subprocess.run(["umount", "-l", str(folder / "data")], check=False)


@pytest.mark.docker
def test_daemon_on_a_small_disk_with_vfs(monkeypatch: pytest.MonkeyPatch, bad_daemon: Daemon) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://somebody:secret@proxy.example:3128")
    verdicts = found(monkeypatch, bad_daemon.address)
    levels = {name: it.finding.level for name, it in verdicts.items()}
    assert levels["dk.socket"] == "OK"
    assert levels["dk.storage"] == "WARN"
    assert levels["dk.disk"] == "FAIL"
    assert levels["net.proxy"] == "WARN"
    assert "secret" not in str(verdicts) and "proxy.example" not in str(verdicts)


@pytest.mark.docker
def test_daemon_that_was_frozen(monkeypatch: pytest.MonkeyPatch, bad_daemon: Daemon) -> None:
    bad_daemon.process.send_signal(signal.SIGSTOP)
    try:
        verdicts = found(monkeypatch, bad_daemon.address)
    finally:
        bad_daemon.process.send_signal(signal.SIGCONT)
    assert verdicts["dk.socket"].finding.level == "FAIL"
    assert "does not answer" in verdicts["dk.socket"].finding.said
    assert verdicts["dk.storage"].follows == "dk.socket"


REFUSED = {
    "comma": ('{"debug": true,}', "invalid character"),
    "runtime": ('{"default-runtime": "nvidia"}', "default runtime"),
    "twice": ('{"data-root": "/var/lib/other"}', "both as a flag and in the configuration file"),
}


@pytest.mark.docker
@pytest.mark.usefixtures("bad_daemon")  # one starts here at all
@pytest.mark.parametrize("name", REFUSED)
def test_daemon_refuses_the_settings_that_doctor_refuses(name: str, tmp_path: Path) -> None:
    """What dk.config calls fatal is: dockerd ends with such a daemon.json, and says so."""
    text, words = REFUSED[name]
    (tmp_path / "daemon.json").write_text(text)
    flags = [f"--config-file={tmp_path}/daemon.json", f"--data-root={tmp_path}/data", f"--pidfile={tmp_path}/pid"]
    flags += [f"--host=unix://{tmp_path}/d.sock", f"--exec-root={tmp_path}/exec", "--bridge=none", "--iptables=false"]
    command = [*OWN_NETWORK, "dockerd", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert words in done.stderr
