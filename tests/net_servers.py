"""Servers on loopback for the checks of --net: TLS by an authority of the tests' own, proxies, registries."""

from __future__ import annotations

import base64
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

USER, PASSWORD = "alice", "a-password-of-hers"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@dataclass(frozen=True)
class Authority:
    """An authority of the tests' own, and a certificate that it signed."""

    bundle: Path
    certificate: Path
    key: Path


def authority(folder: Path, name: str = "localhost", days: str = "2") -> Authority:
    """A certificate for `name`, valid for so many days, signed by a new authority."""
    ca, key, request, signed = (folder / it for it in ("ca.pem", "key.pem", "request.pem", "signed.pem"))
    small = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made = [
        "openssl",
        "req",
        "-x509",
        *small,
        "-keyout",
        folder / "ca.key",
        "-out",
        ca,
        "-days",
        "9",
        "-subj",
        "/CN=CA",
    ]
    openssl(*made)
    openssl("openssl", "req", *small, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
    (folder / "names").write_text(f"subjectAltName=DNS:{name}")
    by = ["-CA", ca, "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", folder / "names"]
    openssl("openssl", "x509", "-req", "-in", request, *by, "-out", signed, "-days", days)
    return Authority(ca, signed, key)


def openssl(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Answers(BaseHTTPRequestHandler):
    """Answers 200; paths below /private need the login; /v2/ is what `challenge` makes of it."""

    challenge: ClassVar[str] = ""
    granted: ClassVar[int] = 200
    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        told = self.headers.get("Authorization", "")
        type(self).seen.append(f"{self.path} {told}")
        guarded = self.path.startswith(("/private", "/token")) or (self.path == "/v2/" and self.challenge)
        status = 200 if not guarded else 401 if told != BASIC else self.granted
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", self.challenge or 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serving(by: Authority | None = None, handler: type[BaseHTTPRequestHandler] = Answers) -> Iterator[int]:
    """The port of a server, with TLS where an authority is given."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if by:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(by.certificate, by.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def mute() -> Iterator[int]:
    """The port of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Proxy(BaseHTTPRequestHandler):
    """A proxy that opens the way that is asked for."""

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as there:
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            ways = ((self.connection, there), (there, self.connection))
            threads = [threading.Thread(target=pass_on, args=way, daemon=True) for way in ways]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(5)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def pass_on(here: socket.socket, there: socket.socket) -> None:
    """Everything that one side says, to the other."""
    try:
        while said := here.recv(4096):
            there.sendall(said)
        there.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Refusing(BaseHTTPRequestHandler):
    """A proxy that asks for a login."""

    def do_CONNECT(self) -> None:
        self.send_response(407)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def real_registry(folder: Path) -> Iterator[int]:
    """The port of Debian's docker-registry with one user."""
    program = shutil.which("docker-registry")
    assert program
    port = closed_port()
    hashed = subprocess.run(["htpasswd", "-nbB", USER, PASSWORD], check=True, capture_output=True, text=True).stdout
    (folder / "users").write_text(hashed)
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\nauth: {{htpasswd: {{realm: tests, path: {folder}/users}}}}\n"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        for _ in range(200):
            with socket.socket() as link:
                if link.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)
