"""Images as one stream or file: the archive that `docker load` reads, and the OCI layout as a tar.

Docker's archive is `manifest.json`, the configuration and one tar a layer. Its classic store takes a layer that it has
already from there, so that the archive may lack it; the other store takes an OCI layout that lacks blobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from envctl.oci.blobs import INDEX, Packed, packed_of
from envctl.oci.content import IMAGE_NAME, MANIFEST, NAME, Chunks, Image, Layer, blob_path, compact_json, digest_of
from envctl.oci.layer import Part
from envctl.oci.tar import END, file_header, padding

Item: TypeAlias = "Layer | Part"
ABOUT = b"the layers follow\n"
MARKER = b'{"imageLayoutVersion":"1.0.0"}'


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


def greeting() -> bytes:
    """A small file for the front of a stream to a daemon, which ignores it: Docker starts the program that unpacks an
    archive (60 ms) when its first bytes come, and may do so while the layers are being made."""
    return b"".join(_file("about", len(ABOUT), iter([ABOUT])))


def oci_archive(image: Image, names: list[str]) -> Iterator[bytes]:
    """The OCI layout of an image as a tar."""
    return growing_archive(image.layers, lambda: image, names)


def growing_archive(
    layers: Iterable[Layer], finish: Callable[[], Image], names: list[str], skipped: frozenset[str] = frozenset()
) -> Iterator[bytes]:
    """The same, without the blobs whose digests are skipped, of an image that is being made: each layer is there as
    soon as it is known, and `finish` is called after the last."""
    done = set(skipped)
    for layer in layers:
        if layer.blob.digest not in done:
            done.add(layer.blob.digest)
            yield from _file(blob_path(layer.blob.digest), layer.blob.size, layer.chunks())
    for path, size, chunks in layout_files(packed_of(finish()), names):
        if f"sha256:{path.rpartition('/')[2]}" not in done:
            yield from _file(path, size, chunks())
    yield END


def layout_files(stored: Packed, names: list[str]) -> Iterator[tuple[str, int, Chunks]]:
    """The files of an OCI layout, the index last: path, size, bytes. Each blob comes once."""
    yield "oci-layout", len(MARKER), _again(MARKER)
    for blob in {blob.descriptor.digest: blob for blob in stored.blobs}.values():
        yield blob_path(blob.descriptor.digest), blob.descriptor.size, blob.chunks
    yield blob_path(digest_of(stored.manifest)), len(stored.manifest), _again(stored.manifest)
    index = _index(stored, names)
    yield "index.json", len(index), _again(index)


def _index(stored: Packed, names: list[str]) -> bytes:
    """The layout's index: the image once for each name, as readers look for a name in the annotations."""
    return descriptor_index(digest_of(stored.manifest), len(stored.manifest), names, stored.media_type)


def descriptor_index(digest: str, size: int, names: list[str], kind: str = MANIFEST) -> bytes:
    """The same of a manifest that is known by its digest and size."""
    entry = {"mediaType": kind, "digest": digest, "size": size}
    entry_names = [_annotations(name) for name in names] or [{}]
    manifests = [entry | ({"annotations": each} if each else {}) for each in entry_names]
    return compact_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


def _annotations(name: str) -> dict[str, str]:
    """A name as the specification has it (the tag alone) and as containerd reads it (all of it)."""
    plain = name.partition("@")[0]
    tag = plain.rpartition(":")[2] if ":" in plain.rpartition("/")[2] else "latest"
    return {IMAGE_NAME: name} | ({NAME: tag} if plain == name else {})


def _again(data: bytes) -> Chunks:
    return lambda: iter([data])


def _size(item: Item) -> int:
    return item.tar_size if isinstance(item, Layer) else item.tar_size()


def _file(name: str, size: int, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield file_header(name, size)
    yield from blocks
    yield padding(size)
