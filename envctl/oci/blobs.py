"""Blobs in files: read in blocks and checked as they are read; layers unpacked to their tar as a stream."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from envctl.errors import BadInput, JobFailed, Reason
from envctl.oci.content import CONFIG, LAYER_GZIP, LAYER_TAR, MANIFEST, Chunks, Descriptor, Image, Layer

BLOCK = 1 << 20
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
INDEXES = (INDEX, DOCKER_LIST)
# the same bytes under Docker's older names
OCI_NAMES = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TAR,
    "application/vnd.docker.container.image.v1+json": CONFIG,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """Bytes that can be had: what they are, how to read them, and the repository that has them too ("" for none)."""

    descriptor: Descriptor
    chunks: Chunks
    origin: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """An image as it is stored: the manifest's own bytes (they are its identity) and the blobs it names."""

    manifest: bytes
    media_type: str
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All of them, the configuration last: it is small, and layers take the time."""
        return (*self.layers, self.config)


def packed_of(image: Image) -> Packed:
    """An image as it is stored, under OCI's media types."""
    layers = tuple(Blob(descriptor=each.blob, chunks=each.chunks, origin=each.origin) for each in image.layers)
    config = Blob(descriptor=image.config_descriptor, chunks=lambda: iter([image.config]))
    return Packed(manifest=image.manifest(), media_type=MANIFEST, config=config, layers=layers)


def descriptor(data: dict[str, object]) -> Descriptor:
    """A descriptor from a manifest's JSON; raises `BadInput` when it is none."""
    digest, size = data.get("digest"), data.get("size")
    if not isinstance(digest, str) or not isinstance(size, int) or not is_digest(digest):
        raise BadInput("a manifest names a blob without a sha256 digest and a size", because=[Reason(text=str(data))])
    return Descriptor(media_type=str(data.get("mediaType", "")), digest=digest, size=size)


def is_digest(text: str) -> bool:
    """Whether this is `sha256:` and 64 hexadecimal digits; others (sha512) are not taken."""
    name, _, digits = text.partition(":")
    return name == "sha256" and len(digits) == 64 and not set(digits) - set("0123456789abcdef")


def file_blob(path: Path, wanted: Descriptor, where: str) -> Blob:
    """A blob in a file. Reading it to the end raises `JobFailed` when the bytes are not the descriptor's."""
    return Blob(descriptor=wanted, chunks=lambda: checked(_blocks(path, where), wanted, where))


def _blocks(path: Path, where: str) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK):
                yield block
    except FileNotFoundError:
        raise BadInput(f"{where} lacks the blob {path.name[:12]}…", because=[Reason(text=f"no file {path}")]) from None


def checked(chunks: Iterator[bytes], wanted: Descriptor, where: str) -> Iterator[bytes]:
    """The same bytes; raises `JobFailed` at their end when digest or size are others."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        if size > wanted.size:
            break
        yield chunk
    found = f"sha256:{digest.hexdigest()}"
    if size != wanted.size or found != wanted.digest:
        raise corrupt(wanted, where, f"{found}, {size} bytes" if size <= wanted.size else "longer than that")


def corrupt(wanted: Descriptor, where: str, found: str) -> JobFailed:
    """The error about bytes that are not what their digest says."""
    because = [Reason(text=f"wanted {wanted.digest}, {wanted.size} bytes"), Reason(text=f"got    {found}")]
    return JobFailed(f"a blob from {where} is corrupt", because=because, do=["fetch or make it anew"])


def layer_of(blob: Blob, diff_id: str, tar_size: int) -> Layer:
    """The layer of a blob, under OCI's media type."""
    kind = OCI_NAMES.get(blob.descriptor.media_type, blob.descriptor.media_type)
    stored = Descriptor(media_type=kind, digest=blob.descriptor.digest, size=blob.descriptor.size)
    tar = unpacked(stored, blob.chunks)
    return Layer(
        diff_id=diff_id, tar_size=tar_size, tar=tar, blob=stored, chunks=blob.chunks, origin=blob.origin
    )  # fmt: skip


def unpacked(stored: Descriptor, chunks: Chunks) -> Chunks:
    """A layer's tar as a stream; raises `BadInput` for a compression that envctl cannot read."""
    if stored.media_type == LAYER_TAR:
        return chunks
    if stored.media_type == LAYER_GZIP:
        return lambda: gunzip(chunks())
    return lambda: _unreadable(stored)


def _unreadable(stored: Descriptor) -> Iterator[bytes]:
    do = ["take an image whose layers are compressed with gzip or not at all"]
    raise BadInput(f"envctl cannot read layers of type {stored.media_type or 'unknown'}", do=do)


def gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of a gzip file of one or many members, in blocks of at most 1 MiB."""
    inflate, begun = zlib.decompressobj(31), False
    for chunk in chunks:
        data = chunk
        while data:
            if inflate.eof:
                inflate, begun = zlib.decompressobj(31), False
            begun = True
            yield from _some(inflate, data)
            data = inflate.unused_data
    if begun and not inflate.eof:
        raise BadInput("a layer ends in the middle of its gzip stream", do=["fetch or make it anew"])


def _some(inflate: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    try:
        while data and not inflate.eof:
            block = inflate.decompress(data, BLOCK)
            data = inflate.unconsumed_tail
            if block:
                yield block
    except zlib.error as error:
        raise BadInput("a layer is no gzip stream", because=[Reason(text=str(error))]) from None


def read_all(blob: Blob, limit: int = 16 << 20) -> bytes:
    """A small blob's bytes; raises `BadInput` for one that is larger than documents are."""
    if blob.descriptor.size > limit:
        raise BadInput(
            f"a document of {blob.descriptor.size} bytes is refused", do=["this is no image's configuration"]
        )
    return b"".join(blob.chunks())
