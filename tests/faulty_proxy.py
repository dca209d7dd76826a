"""A proxy before a real registry that drops connections half-way, answers 5xx or 429, corrupts or dawdles, on order."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What to do with one request instead of passing it on as it is."""

    status: int = 0  # answer this, without asking the registry
    headers: dict[str, str] = field(default_factory=dict)
    cut_request: int = -1  # pass on so many bytes of the request's body, then drop both connections
    cut_response: int = -1  # send so many bytes of the answer's body, then drop the connection
    lose_response: bool = False  # the registry does it, but its answer is lost
    corrupt: bool = False  # change the first byte of the answer's body
    slow: float = 0.0  # seconds before each block of the answer


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request as it came: its body's bytes that were passed on."""

    method: str
    path: str
    body: int
    headers: dict[str, str]


@dataclass(kw_only=True)
class Proxy:
    """A running proxy. `plan` decides for each request: (method, path, how many such requests came before) -> fault."""

    host: str
    backend: str
    plan: Callable[[str, str, int], Fault | None] = lambda method, path, count: None
    seen: list[Seen] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    kept: dict[str, bytes] = field(default_factory=dict)  # what has arrived of uploads, by path (`_Keeping`)

    def count(self, method: str, part: str = "") -> int:
        """How many requests of a method came whose path has that part."""
        return sum(each.method == method and part in each.path for each in self.seen)

    def sent(self, method: str) -> int:
        """The bytes of bodies that requests of a method brought."""
        return sum(each.body for each in self.seen if each.method == method)


@contextmanager
def faulty(backend: str, *, keeping: bool = False) -> Iterator[Proxy]:
    """A proxy before a registry (host:port) for as long as the context lasts.

    With `keeping` it is a registry whose uploads can be gone on with; docker-registry 2.8 gives a broken one up.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Keeping if keeping else _Handler)
    server.daemon_threads = True
    proxy = Proxy(host=f"127.0.0.1:{server.server_address[1]}", backend=backend)
    server.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        proxy: Proxy = self.server.proxy  # type: ignore[attr-defined]
        with proxy.lock:
            fault = proxy.plan(self.command, self.path, proxy.count(self.command)) or Fault()
            proxy.seen.append(Seen(method=self.command, path=self.path, body=0, headers=dict(self.headers)))
            place = len(proxy.seen) - 1
        length = int(self.headers.get("Content-Length") or 0)
        if fault.status:
            self._discard(length)
            body = [] if self.command == "HEAD" else [b"{}"]
            self._answer(fault.status, {"Content-Length": "2", **fault.headers}, body)
            return
        backend = http.client.HTTPConnection(proxy.backend, timeout=60)
        passed = self._pass_on(backend, length, fault)
        proxy.seen[place] = Seen(method=self.command, path=self.path, body=passed, headers=dict(self.headers))
        if passed < length or fault.lose_response:
            with suppress(OSError, http.client.HTTPException):
                backend.getresponse().read() if fault.lose_response else backend.close()
            self._drop()
            return
        self._back(backend.getresponse(), fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _any

    def _discard(self, length: int) -> None:
        while length > 0:
            length -= len(self.rfile.read(min(BLOCK, length)))

    def _pass_on(self, backend: http.client.HTTPConnection, length: int, fault: Fault) -> int:
        backend.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            backend.putheader(name, value)
        backend.endheaders()
        passed, most = 0, length if fault.cut_request < 0 else min(length, fault.cut_request)
        while passed < most:
            block = self.rfile.read(min(BLOCK, most - passed))
            backend.send(block)
            passed += len(block)
        return passed

    def _back(self, answer: http.client.HTTPResponse, fault: Fault) -> None:
        left = fault.cut_response if fault.cut_response >= 0 else 1 << 60

        def blocks() -> Iterator[bytes]:
            nonlocal left
            first = True
            while left > 0 and (block := answer.read(min(BLOCK, left))):
                time.sleep(fault.slow)
                left -= len(block)
                yield bytes([block[0] ^ 1]) + block[1:] if fault.corrupt and first else block
                first = False

        skipped = {"connection", "date", "server"}
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in skipped}
        if "Content-Length" not in headers:
            headers["Content-Length"] = headers.get("Content-Length", "0")
        self._answer(answer.status, headers, blocks() if self.command != "HEAD" else [])
        if left <= 0:
            self._drop()

    def _relay(self, proxy: Proxy, data: bytes) -> None:
        """Pass a request on with another body."""
        backend = http.client.HTTPConnection(proxy.backend, timeout=60)
        backend.request(self.command, self.path, data, {**dict(self.headers), "Content-Length": str(len(data))})
        self._back(backend.getresponse(), Fault())

    def _answer(self, status: int, headers: dict[str, str], body: object) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for block in body:  # type: ignore[attr-defined]
            self.wfile.write(block)

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)

    def log_message(self, *_: object) -> None:
        """Nothing: tests look at `seen`."""


class _Keeping(_Handler):
    """Keeps what arrives of an upload however it ends, says how far it has come, and hands it over when committed."""

    def _any(self) -> None:
        proxy: Proxy = self.server.proxy  # type: ignore[attr-defined]
        key = self.path.partition("?")[0]
        if self.command == "PATCH":
            self._patch(proxy, key)
        elif self.command == "GET" and "/blobs/uploads/" in key:
            self._answer(204, {"Location": self.path, "Range": f"0-{len(proxy.kept[key]) - 1}"}, [])
        elif self.command == "PUT" and "/blobs/uploads/" in key:
            length = int(self.headers.get("Content-Length") or 0)
            self._relay(proxy, proxy.kept.get(key, b"") + self.rfile.read(length))
        else:
            super()._any()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _any

    def _patch(self, proxy: Proxy, key: str) -> None:
        fault = proxy.plan(self.command, self.path, proxy.count(self.command)) or Fault()
        length, known = int(self.headers["Content-Length"]), proxy.kept.get(key, b"")
        start = int(self.headers.get("Content-Range", "0-").partition("-")[0])
        data = self.rfile.read(length if fault.cut_request < 0 else min(length, fault.cut_request))
        proxy.seen.append(Seen(method="PATCH", path=self.path, body=len(data), headers=dict(self.headers)))
        if start != len(known):
            self._answer(416, {"Content-Length": "0"}, [])
            return
        proxy.kept[key] = known + data
        if len(data) < length:
            self._drop()
            return
        self._answer(202, {"Location": self.path, "Content-Length": "0"}, [])
