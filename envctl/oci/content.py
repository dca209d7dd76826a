"""What an image consists of: descriptors, layers and a configuration, all named by the SHA-256 of their bytes.

OCI image specification 1.1: https://github.com/opencontainers/image-spec (descriptor.md, manifest.md, config.md)
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
NAME, IMAGE_NAME = "org.opencontainers.image.ref.name", "io.containerd.image.name"  # annotations: a tag; a whole name

Chunks = Callable[[], Iterator[bytes]]  # the same bytes each time it is called; blocks of at most 1 MiB


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """What a blob is, its digest (`sha256:…`) and its size in bytes."""

    media_type: str
    digest: str
    size: int

    def json(self) -> dict[str, Any]:
        """The descriptor as manifests write it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One layer: `diff_id` is the digest of its tar; `blob` says what is stored and sent, and `chunks` gives its bytes.

    `tar` gives the uncompressed bytes, `tar_size` of them. `origin` is the repository that a blob of the base came
    from ("" for ours): a registry that has it there can mount it.
    """

    diff_id: str
    tar_size: int
    tar: Chunks
    blob: Descriptor
    chunks: Chunks
    origin: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """An image: its configuration's bytes and its layers, the base's first. `digest` is its identity in a registry."""

    config: bytes
    layers: tuple[Layer, ...]

    @property
    def config_descriptor(self) -> Descriptor:
        """The configuration's descriptor; its digest is the image id of Docker's classic store."""
        return Descriptor(media_type=CONFIG, digest=digest_of(self.config), size=len(self.config))

    def manifest(self) -> bytes:
        """The manifest's bytes, the same for the same content."""
        layers = [layer.blob.json() for layer in self.layers]
        data = {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.config_descriptor.json(), "layers": layers}
        return compact_json(data)

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return digest_of(self.manifest())


def blob_path(digest: str) -> str:
    """Where a layout has the blob of a digest."""
    return f"blobs/{digest.replace(':', '/')}"


def digest_of(data: bytes) -> str:
    """`sha256:` and the hexadecimal digest."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def compact_json(data: object) -> bytes:
    """JSON without blanks and with sorted keys, as UTF-8: the bytes depend on the data alone."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def architecture() -> str:
    """This machine's architecture as images name it."""
    import platform

    names = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
    return names.get(platform.machine(), platform.machine() or sys.platform)
