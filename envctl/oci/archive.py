"""Images as one stream or file: the archive that `docker load` reads, and the OCI layout as a tar.

Docker's archive is `manifest.json`, the configuration and one tar a layer. Its classic store takes a layer that it has
already from there, so that the archive may lack it; the other store takes an OCI layout that lacks blobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from envctl.oci.content import MANIFEST, Image, Layer, compact_json, digest_of
from envctl.oci.layer import Part
from envctl.oci.tar import END, file_header, padding

Item: TypeAlias = "Layer | Part"


def docker_archive(
    items: list[Item], names: list[str], finish: Callable[[], Image], skipped: int = 0
) -> Iterator[bytes]:
    """The archive, without the first `skipped` layers. The layers come first: `finish` may need them to be written."""
    for number, item in enumerate(items):
        if number >= skipped:
            yield from _file(f"{number:03}.tar", _size(item), item.tar())
    image = finish()
    config = image.config_descriptor.digest.removeprefix("sha256:") + ".json"
    yield from _file(config, len(image.config), iter([image.config]))
    layers = [f"{number:03}.tar" for number in range(len(items))]
    manifest = compact_json([{"Config": config, "RepoTags": names, "Layers": layers}])
    yield from _file("manifest.json", len(manifest), iter([manifest]))
    yield END


def oci_archive(image: Image, names: list[str], skipped: frozenset[str] = frozenset()) -> Iterator[bytes]:
    """The OCI layout of an image as a tar, without the blobs whose digests are skipped."""
    for path, size, chunks in layout_files(image, names):
        if path.rpartition("/")[2] not in skipped:
            yield from _file(path, size, chunks())
    yield END


def layout_files(image: Image, names: list[str]) -> Iterator[tuple[str, int, Callable[[], Iterator[bytes]]]]:
    """The files of an OCI layout, the index last: path, size, bytes. Each blob comes once."""
    marker = compact_json({"imageLayoutVersion": "1.0.0"})
    yield "oci-layout", len(marker), lambda: iter([marker])
    blobs = {layer.blob.digest: layer for layer in image.layers}
    for layer in blobs.values():
        yield blob_path(layer.blob.digest), layer.blob.size, layer.chunks
    for data in (image.config, image.manifest()):
        yield blob_path(digest_of(data)), len(data), _again(data)
    index = index_of(image, names)
    yield "index.json", len(index), lambda: iter([index])


def index_of(image: Image, names: list[str]) -> bytes:
    """The layout's index: the image once for each name, as readers look for a name in the annotations."""
    return descriptor_index(image.digest, len(image.manifest()), names)


def descriptor_index(digest: str, size: int, names: list[str]) -> bytes:
    """The same of a manifest that is known by its digest and size."""
    entry = {"mediaType": MANIFEST, "digest": digest, "size": size}
    entry_names = [_annotations(name) for name in names] or [{}]
    manifests = [entry | ({"annotations": each} if each else {}) for each in entry_names]
    return compact_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


INDEX = "application/vnd.oci.image.index.v1+json"


def _annotations(name: str) -> dict[str, str]:
    """A name as the specification has it (the tag alone) and as containerd reads it (all of it)."""
    tag = name.rpartition(":")[2] if ":" in name.rpartition("/")[2] else "latest"
    return {"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": name}


def blob_path(digest: str) -> str:
    """Where a blob lies in a layout."""
    return f"blobs/{digest.replace(':', '/')}"


def _again(data: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([data])


def _size(item: Item) -> int:
    return item.tar_size if isinstance(item, Layer) else item.tar_size()


def _file(name: str, size: int, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield file_header(name, size)
    yield from blocks
    yield padding(size)
