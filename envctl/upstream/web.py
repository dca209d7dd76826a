"""Answers over HTTP, whole or a piece of a file, for the simple API of package indexes (`envctl.upstream.simple`)."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from envctl.upstream.published import Malformed

LARGEST = 64 << 20  # bytes of an answer; the longest page known has a tenth
SECONDS = 30.0
TRIES = 3
GONE = (404, 410)
PARTIAL = 206


class NotThereError(Exception):
    """The server has no such page, or gives no pieces of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer's address (after redirects), media type, bytes; `total`: the file's size when a piece or head came."""

    url: str
    kind: str
    body: bytes
    total: int = 0

    @property
    def text(self) -> str:
        """The bytes as text."""
        return self.body.decode("utf-8", errors="replace")


@dataclass(frozen=True, kw_only=True, slots=True)
class Web:
    """Gets things; knows users and passwords by host."""

    _users: dict[str, str] = field(default_factory=dict)

    def without_user(self, url: str) -> str:
        """The address without user and password; they are kept for requests to its host."""
        parts = urlsplit(url)
        user, found, host = parts.netloc.rpartition("@")
        if found:
            self._users[host] = user
        return parts._replace(netloc=host).geturl()

    def get(self, url: str, accept: str = "*/*", span: tuple[int, int] | None = None) -> Answer:
        """What is there, or its bytes from one offset up to another. Raises `NotThereError`, `Malformed`, `OSError`."""
        request = self.request(url, accept)
        if span:
            request.add_header("Range", f"bytes={span[0]}-{span[1] - 1}")
        return _patiently(request)

    def size(self, url: str) -> int | None:
        """The length of a file in bytes, None where the server does not say it. Raises as `get` does."""
        request = self.request(url)
        request.method = "HEAD"
        return _patiently(request).total or None

    def request(self, url: str, accept: str = "*/*") -> urllib.request.Request:
        """A request as this host is asked, with its user and password. Raises `OSError` for another scheme."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise OSError(f"{urlsplit(url).scheme or 'this'} is no scheme of an index's address")
        request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "envctl"})
        user = self._users.get(urlsplit(url).netloc)
        if user:  # not for the hosts that a redirect leads to
            request.add_unredirected_header("Authorization", f"Basic {b64encode(unquote(user).encode()).decode()}")
        return request


def _patiently(request: urllib.request.Request) -> Answer:
    """An answer; where none comes, or the server has a fault of its own, it is asked again."""
    for attempt in range(1, TRIES):
        try:
            return _once(request)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise
        except OSError:
            pass
        time.sleep(0.5 * attempt)
    return _once(request)


def _once(request: urllib.request.Request) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            piece = request.has_header("Range")
            if piece and response.status != PARTIAL:  # it would send the whole file
                raise NotThereError("the server gives no pieces")
            body = response.read(LARGEST + 1)
            url, kind = response.url, response.headers.get_content_type()
            size = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range") or "")
            length = re.fullmatch(r"\d+", response.headers.get("Content-Length") or "")
    except urllib.error.HTTPError as error:
        if error.code in GONE:
            raise NotThereError("the server has no such page") from error
        raise
    except http.client.HTTPException as error:  # cut off in the middle, or not HTTP at all
        raise OSError(repr(error)) from error
    if len(body) > LARGEST:
        raise Malformed(f"the answer is larger than {LARGEST >> 20} MiB")
    if request.get_method() == "HEAD":
        return Answer(url=url, kind=kind, body=b"", total=int(length[0]) if length else 0)
    return Answer(url=url, kind=kind, body=body, total=int(size[1]) if piece and size else 0)
