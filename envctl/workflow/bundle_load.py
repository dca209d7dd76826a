"""Bases and images from layouts of the cache into the local Docker daemon."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from envctl.bundle.manifest import Picture
from envctl.errors import BadInput, HostLacks, Reason
from envctl.oci import daemon
from envctl.oci.archive import docker_archive, oci_archive
from envctl.oci.content import LAYER_GZIP, LAYER_TAR, Descriptor, Image, Layer
from envctl.oci.load import post

BLOCK = 1 << 20


def into_docker(found: list[tuple[Picture, Path]], say: Callable[[str], None]) -> list[str]:
    """Have the daemon hold each image under its names; those names come back. What it has already is not sent."""
    containerd = daemon.has_containerd_store()
    names: list[str] = []
    for picture, folder in found:
        image = image_in(folder, picture.digest)
        missing = [name for name in picture.names if not _is_same(daemon.image(name), image)]
        if missing:
            _have(image, missing, containerd, say)
        names += picture.names
    return names


def _is_same(there: dict[str, Any] | None, image: Image) -> bool:
    """Whether the daemon's image has the same files; an imported base has another id than one that was loaded."""
    return there is not None and there["RootFS"]["Layers"] == [layer.diff_id for layer in image.layers]


def _have(image: Image, names: list[str], containerd: bool, say: Callable[[str], None]) -> None:
    identifier = image.digest if containerd else image.config_descriptor.digest
    if daemon.image(identifier) is None:
        say(f"loading {', '.join(names)} into Docker")
        _send(image, names, containerd)
    if daemon.image(identifier) is None:
        because = [Reason(text=f"it has no {identifier}", source="Docker")]
        raise HostLacks("Docker loaded something else than was sent", because=because)
    for name in names:
        daemon.tag(identifier, name)


def _send(image: Image, names: list[str], containerd: bool) -> None:
    post(oci_archive(image, names) if containerd else docker_archive(list(image.layers), names, lambda: image))


def image_in(folder: Path, digest: str) -> Image:
    """The image with that manifest in a layout; raises `BadInput` for a layout that is none."""
    blobs = folder / "blobs/sha256"
    try:
        manifest = json.loads((blobs / digest).read_bytes())
        config = (blobs / _hex(manifest["config"]["digest"])).read_bytes()
        diff_ids = json.loads(config)["rootfs"]["diff_ids"]
        layers = [_layer(blobs, entry, each) for entry, each in zip(manifest["layers"], diff_ids, strict=True)]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error) as error:
        because = [Reason(text=f"{type(error).__name__}: {error}", source=str(folder))]
        raise BadInput("an image in the cache cannot be read", because=because, do=["unbundle again"]) from error
    return Image(config=config, layers=tuple(layers))


def _layer(blobs: Path, entry: dict[str, Any], diff_id: str) -> Layer:
    kind, digest, size = entry["mediaType"], entry["digest"], entry["size"]
    if kind not in (LAYER_TAR, LAYER_GZIP):
        raise ValueError(f"layer of kind {kind}")
    path = blobs / _hex(digest)
    blob = Descriptor(media_type=kind, digest=digest, size=size)

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK):
                yield block

    def tar() -> Iterator[bytes]:
        return _inflated(path) if kind == LAYER_GZIP else chunks()

    tar_size = sum(len(block) for block in tar()) if kind == LAYER_GZIP else size
    return Layer(diff_id=diff_id, tar_size=tar_size, tar=tar, blob=blob, chunks=chunks)


def _inflated(path: Path) -> Iterator[bytes]:
    """What gzip packed, in blocks."""
    with gzip.open(path) as stream:
        while block := stream.read(BLOCK):
            yield block


def _hex(digest: str) -> str:
    algorithm, _, name = digest.partition(":")
    if algorithm != "sha256" or not name.isalnum():
        raise ValueError(f"digest {digest}")
    return name
