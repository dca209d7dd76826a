"""An archive on its way to a daemon: a small server stands in for one that takes all of it, or refuses half-way.

(tests/test_build.py and tests/test_containerd_store.py load images into real ones.)
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from envctl.errors import HostLacks
from envctl.oci.daemon import Upload

BLOCK = bytes(1 << 20)


class Daemon(BaseHTTPRequestHandler):
    """Takes at most `most` bytes of a body; then it says no, and reads no more."""

    protocol_version = "HTTP/1.1"
    most = 1 << 40

    def do_POST(self) -> None:
        taken = b""
        while size := int(self.rfile.readline(), 16):
            taken += self.rfile.read(size + 2)[:-2]
            if len(taken) > self.most:
                self.answer(500, b'{"message": "no space left on device"}')
                self.close_connection = True
                return
        self.rfile.readline()
        self.answer(200, b"%d %b" % (len(taken), taken[-3:]))

    def answer(self, code: int, data: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return ""

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def daemon(folder: Path, monkeypatch: pytest.MonkeyPatch, most: int = 1 << 40) -> Iterator[None]:
    handler = type("Handler", (Daemon,), {"most": most})
    with socketserver.ThreadingUnixStreamServer(str(folder / "socket"), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder / 'socket'}")
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_empty_blocks_do_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with daemon(tmp_path, monkeypatch), closing(Upload("/images/load")) as upload:
        assert all(upload.send(block) for block in (b"about", b"", BLOCK, b"", b"end"))
        assert upload.answer() == b"%d end" % (len(BLOCK) + 8)


def test_a_refusal_half_way_ends_it_with_the_daemon_s_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with daemon(tmp_path, monkeypatch, most=2 << 20), closing(Upload("/images/load")) as upload:
        assert not all(upload.send(BLOCK) for _ in range(1000))
        with pytest.raises(HostLacks, match="Docker refused") as caught:
            upload.answer()
    assert caught.value.because[0].text == "no space left on device"


def test_nobody_there_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'none'}")
    with pytest.raises(HostLacks, match="Docker does not answer"):
        Upload("/images/load")
