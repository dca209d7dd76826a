"""The Docker daemon's HTTP interface, over its socket: what envctl asks of images, in milliseconds.

https://docs.docker.com/reference/api/engine/version/v1.41/ (the docker package takes 0.2 s to import)
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from envctl.errors import HostLacks, Reason
from envctl.oci.store import read_note, write_note

SECONDS = 600.0
CHAINS = "chains"  # the note of images' layers
CONTAINERD = "io.containerd.snapshotter.v1"


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("docker", timeout=seconds)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def address() -> str:
    """Where the daemon listens: DOCKER_HOST, a rootless daemon's socket, or the usual one."""
    given = os.environ.get("DOCKER_HOST")
    rootless = Path(os.environ.get("XDG_RUNTIME_DIR", "/nowhere")) / "docker.sock"
    usual = Path("/var/run/docker.sock")
    return given or f"unix://{rootless if rootless.exists() and not usual.exists() else usual}"


def _connection(seconds: float) -> http.client.HTTPConnection:
    parts = urlsplit(address())
    if parts.scheme == "unix":
        return _Connection(parts.path, seconds)
    if parts.scheme in ("tcp", "http") and parts.hostname and not os.environ.get("DOCKER_TLS_VERIFY"):
        return http.client.HTTPConnection(parts.hostname, parts.port or 2375, timeout=seconds)
    do = ["write a file instead (-o docker-archive:FILE), and load it there: docker load -i FILE"]
    raise HostLacks(f"envctl does not talk to a daemon at {address()}: sockets and plain TCP only", do=do)


@contextmanager
def asked(method: str, path: str, seconds: float = SECONDS) -> Iterator[http.client.HTTPResponse]:
    """The daemon's answer. Raises `HostLacks` when it does not answer."""
    connection = _connection(seconds)
    try:
        with _answering():
            connection.request(method, path)
            answer = connection.getresponse()
        yield answer
    finally:
        connection.close()


@contextmanager
def _answering() -> Iterator[None]:
    """Raises `HostLacks` where the daemon is not there, or ends a conversation."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        because = [Reason(text=str(error) or type(error).__name__, source=address())]
        do = ["start it, or write a file: -o oci:DIR"]
        raise HostLacks("Docker does not answer", because=because, do=do) from error


class Upload:
    """An archive on its way to the daemon, which begins to work when it has the first bytes. To be closed."""

    def __init__(self, path: str) -> None:
        self.connection = _connection(SECONDS)
        with _answering():
            self.connection.putrequest("POST", path)
            self.connection.putheader("Content-Type", "application/x-tar")
            self.connection.putheader("Transfer-Encoding", "chunked")
            self.connection.endheaders()

    def send(self, block: bytes) -> bool:
        """Send some of it; whether the daemon takes more. Where it refuses half-way, why is in its answer."""
        with _answering(), suppress(BrokenPipeError, ConnectionResetError):
            if block:  # an empty chunk is the end
                self.connection.send(b"%x\r\n%b\r\n" % (len(block), block))
            return True
        return False

    def answer(self) -> bytes:
        """What the daemon says once it has all of it; raises `HostLacks` when it refuses."""
        with _answering():
            with suppress(BrokenPipeError, ConnectionResetError):
                self.connection.send(b"0\r\n\r\n")
            answer = self.connection.getresponse()
            data = answer.read()
        if answer.status >= 400:
            raise refused(data)
        return data

    def close(self) -> None:
        self.connection.close()


def get(path: str) -> Any:
    """The JSON that lies there; None where the daemon knows no such thing."""
    with asked("GET", path) as answer:
        data = answer.read()
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise refused(data)
        return json.loads(data)


def ping(seconds: float = SECONDS) -> None:
    """Raise `HostLacks` unless a daemon answers. (`/version` starts programs to say theirs: 20 ms.)"""
    with asked("GET", "/_ping", seconds=seconds) as answer:
        data = answer.read()
        if answer.status >= 400:
            raise refused(data)


def answers() -> bool:
    """Whether a daemon answers at all."""
    try:
        ping()
    except HostLacks:
        return False
    return True


def refused(data: bytes) -> HostLacks:
    """The error for an answer that says no."""
    text = data.decode(errors="replace").strip()
    with suppress(ValueError, LookupError, TypeError):
        text = str(json.loads(text)["message"])
    return HostLacks("Docker refused", because=[Reason(text=text[:300], source="Docker")])


def image(name: str) -> dict[str, Any] | None:
    """What the daemon says of an image, None when it has none of that name or id."""
    found: dict[str, Any] | None = get(f"/images/{quote(name, safe=':/@')}/json")
    return found


def chains() -> list[list[str]]:
    """The layers (digests of their tars) of every image the daemon has. An id stands for the same layers for ever, so
    that each image is asked for once."""
    known = (read_note("daemons", CHAINS) or {}).get("layers", {})
    there = {str(entry["Id"]): known.get(entry["Id"]) for entry in get("/images/json")}
    new = {identifier: image(identifier) for identifier, layers in there.items() if layers is None}
    there |= {identifier: list(found["RootFS"].get("Layers") or []) for identifier, found in new.items() if found}
    if new:
        write_note("daemons", CHAINS, {"layers": there})
    return [layers for layers in there.values() if layers]


def has_containerd_store(base: str = "") -> bool:
    """Whether images lie in containerd's content store (the default of new installations from Docker 29 on).

    `base` is the digest of the configuration of an image that may be there. The other store has images under these
    digests, containerd's under those of their manifests; that is asked first, as `/info` starts programs (10 ms).
    """
    if base and (image(base) or {}).get("Id") == base:
        return False
    status = get("/info").get("DriverStatus") or []
    return any(CONTAINERD in str(value) for pair in status for value in pair)


def tag(identifier: str, name: str) -> None:
    """Give an image a name."""
    repository, _, label = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "latest")
    with asked("POST", f"/images/{identifier}/tag?repo={quote(repository, safe='')}&tag={quote(label)}") as answer:
        data = answer.read()
        if answer.status >= 400:
            raise refused(data)


def named(digests: tuple[str, ...], names: list[str]) -> str | None:
    """The image that has one of these digests, which then has the names too; None when there is no such image."""
    found = next((digest for digest in digests if image(digest) is not None), None)
    for name in names if found else ():
        tag(str(found), name)
    return found
