"""How an index is asked: on disk and over HTTP, metadata without wheels, and every way to get no answer.

Every index here is a stand-in on this machine.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from packaging.version import Version

from envctl.aliases import Indexes
from envctl.errors import HostLacks
from envctl.upstream.published import Published
from envctl.upstream.simple import Simple
from envctl.upstream.wheel import metadata_of, remote
from tests import wheelhouse
from tests.wheelhouse import Wheelhouse

LINUX = "manylinux_2_28_x86_64"
pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def house(stand_ins: Path) -> Wheelhouse:
    """An index with engine 1.0, which needs numpy."""
    made = Wheelhouse(stand_ins / "house")
    made.add("engine", "1.0", tag=f"cp311-cp311-{LINUX}", says="." * 400_000, needs=("numpy>=1.21",))
    return made


def asked(address: str) -> tuple[Published | None, tuple[str, ...] | None]:
    """What an index at that address says of engine, and of the requirements of 1.0."""
    simple = Simple(indexes=Indexes(addresses={"pypi": address}))
    published = simple.published("pypi", "engine")
    readings = simple.requires(published, published.releases[Version("1.0")], both=True) if published else ()
    assert len(readings) <= 1, "one wheel is read once"
    return published, readings[0] if readings else None


@pytest.mark.parametrize("kind", ["as_index", "as_folder"])
def test_an_index_on_disk(house: Wheelhouse, kind: str) -> None:
    published, requires = asked(getattr(house, kind))
    assert published and list(published.releases) == [Version("1.0")]
    assert requires == ("numpy>=1.21",)


def test_metadata_that_is_offered_is_taken_and_no_wheel(house: Wheelhouse) -> None:
    offer(house, "Metadata-Version: 2.1\nRequires-Dist: numpy>=1.25\n")
    with wheelhouse.served(house) as server:
        assert asked(server.address)[1] == ("numpy>=1.25",)
        assert asked(server.address)[1] == ("numpy>=1.25",)
    assert [path for path in server.asked if path.endswith(".whl")] == []
    assert len([path for path in server.asked if path.endswith(".metadata")]) == 1, "kept under the wheel's hash"


def offer(house: Wheelhouse, metadata: str, digest: str = "") -> None:
    """Have the page offer that text as the wheel's metadata."""
    wheel = next((house.root / "files").glob("*.whl"))
    wheel.with_name(f"{wheel.name}.metadata").write_text(metadata)
    said = digest or hashlib.sha256(metadata.encode()).hexdigest()
    page = house.root / "simple" / "engine" / "index.html"
    page.write_text(page.read_text().replace("<a ", f'<a data-dist-info-metadata="sha256={said}" '))


def test_metadata_with_another_hash_is_refused(house: Wheelhouse) -> None:
    offer(house, "Metadata-Version: 2.1\n", digest="a" * 64)
    with wheelhouse.served(house) as server, pytest.raises(HostLacks, match="cannot be read") as caught:
        asked(server.address)
    assert "hash" in caught.value.because[0].text


def test_a_server_without_pieces_offers_no_metadata(house: Wheelhouse) -> None:
    """Python's own server ignores Range: the wheel is not fetched for one line in it."""
    with wheelhouse.served(house) as server:
        published, requires = asked(server.address)
    assert published is not None
    assert requires is None


@contextmanager
def pieces(house: Wheelhouse, user: str = "") -> Iterator[tuple[str, list[str]]]:
    """The wheelhouse on a server that knows ranges; with `user`, one that wants that user. And the ranges asked for."""
    spans: list[str] = []

    class Desk(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = house.root / self.path.strip("/")
            path = path / "index.html" if path.is_dir() else path
            span = self.headers["Range"]
            if user and self.headers["Authorization"] != f"Basic {b64encode(user.encode()).decode()}":
                self.send_error(401)
            elif not path.is_file():
                self.send_error(404)
            else:
                self.answer(path.read_bytes(), span)

        def answer(self, body: bytes, span: str | None) -> None:
            first, _, last = (span or "").removeprefix("bytes=").partition("-")
            part = body[int(first) : int(last) + 1] if span else body
            spans.extend([span] if span else [])
            self.send_response(206 if span else 200)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(part)

        def log_message(self, *arguments: object) -> None:
            """Nothing on the tests' screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}/simple", spans
    server.shutdown()
    server.server_close()


def test_metadata_out_of_a_wheel_by_pieces(house: Wheelhouse) -> None:
    with pieces(house) as (address, spans):
        assert asked(f"http://{address}")[1] == ("numpy>=1.21",)
    sizes = [int(last) - int(first) for first, last in (span.removeprefix("bytes=").split("-") for span in spans)]
    assert 0 < sum(sizes) < next((house.root / "files").glob("*.whl")).stat().st_size


def test_pieces_of_a_wheel_with_a_long_directory() -> None:
    """TensorFlow's has thousands of files: its METADATA does not stand in the last piece."""
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr("engine-1.0.dist-info/METADATA", "Metadata-Version: 2.1\n")
        for number in range(5000):
            archive.writestr(f"engine/{number:0100}.py", "")
    body = stored.getvalue()
    assert metadata_of(remote(lambda a, b: body[a:b], len(body)), "engine") == "Metadata-Version: 2.1\n"


def test_user_and_password_reach_the_index(house: Wheelhouse) -> None:
    with pieces(house, user="me:s/cret") as (address, _):
        assert asked(f"http://me:s%2Fcret@{address}")[1] == ("numpy>=1.21",)
        with pytest.raises(HostLacks, match="gave no answer") as caught:
            asked(f"http://me:wrong@{address}")
        assert "wrong" not in str(caught.value.as_data())


def test_a_name_that_the_index_does_not_know(house: Wheelhouse) -> None:
    with wheelhouse.served(Wheelhouse(house.root / "simple")) as server:
        assert asked(server.address) == (None, None)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/simple", "file:///nowhere/at/all", "ftp://127.0.0.1/simple", "index.example"]
)
def test_an_index_that_gives_no_answer(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envctl.upstream.web.TRIES", 1)
    with pytest.raises(HostLacks, match=r"the index \(pypi\) gave no answer") as caught:
        asked(address)
    assert any("ENVCTL_INDEX_PYPI=" in hint for hint in caught.value.do)


def test_the_default_index_is_uv_s(house: Wheelhouse, monkeypatch: pytest.MonkeyPatch) -> None:
    with wheelhouse.served(house) as server:
        monkeypatch.setenv("UV_DEFAULT_INDEX", server.address)
        assert Simple(indexes=Indexes(addresses={})).published("pypi", "engine")
    assert server.names() == {"engine"}
