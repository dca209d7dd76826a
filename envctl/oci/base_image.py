"""What an image is built upon: a base with its layers, and the exact interpreter in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from envctl.errors import HostLacks
from envctl.oci.content import LAYER_TAR, Descriptor, Layer, compact_json
from envctl.oci.store import place

PLACES = ("usr/bin", "usr/local/bin")


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseImage:
    """A base: its configuration, layers and digest (`sha256:…` of manifest or configuration: its identity).

    `python` is the exact version (3.11.2) of its CPython, `interpreter` the SHA-256 of that program's file, `home` the
    folder it lies in. `image` is the local daemon's id of it, "" when it is not from there;
    `folders` are the outermost folders it has.
    """

    config: dict[str, Any]
    layers: tuple[Layer, ...]
    digest: str
    python: str
    interpreter: str
    home: str = "/usr/bin"
    image: str = ""
    folders: frozenset[str] = frozenset({"opt"})

    @property
    def minor(self) -> str:
        """The minor version of its CPython: 3.11."""
        return ".".join(self.python.split(".")[:2])

    def lacking(self, prefix: str) -> tuple[str, ...]:
        """The folders above the prefix that the base does not have: Docker would make them for root alone."""
        parts = prefix.strip("/").split("/")[:-1]
        return tuple(
            path for path in ("/".join(parts[:end]) for end in range(1, len(parts) + 1)) if path not in self.folders
        )

    @property
    def identity(self) -> str:
        """A digest of what bytecode depends on: the files of all layers."""
        layers = [layer.diff_id for layer in self.layers]
        return hashlib.sha256(compact_json([self.interpreter, self.python, layers])).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a base's files say: where its CPython lies, that program's SHA-256, and which folders there are."""

    home: str
    interpreter: str
    folders: frozenset[str]


def blob_path(digest: str) -> Path:
    """Where a layer's tar is kept."""
    return place("blobs", digest.removeprefix("sha256:"))


def read_blocks(path: Path) -> Callable[[], Any]:
    """The file's bytes in blocks, each time anew."""

    def chunks() -> Any:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                yield block

    return chunks


def kept_layer(diff_id: str, size: int) -> Layer:
    """A layer whose tar is kept, as it is: a base of this machine was compressed by nobody."""
    chunks = read_blocks(blob_path(diff_id))
    blob = Descriptor(media_type=LAYER_TAR, digest=diff_id, size=size)
    return Layer(diff_id=diff_id, tar_size=size, tar=chunks, blob=blob, chunks=chunks)


def look_into(layers: list[Path], python: str) -> Seen:
    """What the tars of a base hold; raises `HostLacks` when there is no CPython of that minor version."""
    import tarfile

    programs: dict[str, str] = {}
    folders: set[str] = set()
    for path in layers:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                name = member.name.removeprefix("./").rstrip("/")
                if member.isdir() and name.count("/") < 2:
                    folders.add(name)
                elif member.isreg() and name.endswith(f"/python{python}"):
                    stream = archive.extractfile(member)
                    assert stream
                    programs[str(PurePosixPath(name).parent)] = _sha256(stream)
    for home in PLACES:
        if home in programs:
            return Seen(home=f"/{home}", interpreter=programs[home], folders=frozenset(folders))
    do = ["take a base that brings it, for example: envctl base debian:bookworm"]
    raise HostLacks(f"the base has no CPython {python} in {' or '.join('/' + home for home in PLACES)}", do=do)


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
