"""Real registries for tests: Debian's docker-registry on loopback, and a proxy before it that misbehaves on purpose."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

USER, PASSWORD = "robot", "s3cret-Pässword:1"
HTPASSWD = "robot:$2y$04$4NiVnQ1jfV1QVrGGtIHGxOIr8G8WsYjSJcZH/sik6e8ibfG6GLRNW"  # htpasswd -niBC 4 robot
CONFIG = """
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
{auth}
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running registry: host:port, and the folder it stores in."""

    host: str
    storage: Path

    def blob(self, digest: str) -> Path:
        """Where it keeps a blob's bytes."""
        digits = digest.removeprefix("sha256:")
        return self.storage / f"docker/registry/v2/blobs/sha256/{digits[:2]}/{digits}/data"


@contextmanager
def registry(folder: Path, *, storage: Path | None = None, auth: str = "") -> Iterator[Server]:
    """A registry for as long as the context lasts. Without the program: a failure in CI, a skip elsewhere."""
    if not shutil.which("docker-registry"):
        if os.environ.get("CI"):
            pytest.fail("CI has no docker-registry: .ci/run must install it")
        pytest.skip("no docker-registry (apt-get install docker-registry)")
    port, storage = free_port(), storage or folder / "storage"
    config = folder / "registry.yml"
    config.write_text(CONFIG.format(storage=storage, port=port, auth=auth))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log, cwd=folder)
    try:
        _await(port, process, folder / "registry.log")
        yield Server(host=f"127.0.0.1:{port}", storage=storage)
    finally:
        process.terminate()
        process.wait(timeout=30)


def htpasswd(folder: Path) -> str:
    """The part of a configuration that wants the user above."""
    (folder / "htpasswd").write_text(HTPASSWD + "\n")
    return f"auth: {{htpasswd: {{realm: tests, path: {folder / 'htpasswd'}}}}}"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"docker-registry did not start: {log.read_text()[-2000:]}")
