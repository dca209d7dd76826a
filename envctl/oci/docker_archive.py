"""Docker's archives (`docker save`), read: a tar with manifest.json, a configuration and layers.

Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format"
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from envctl.errors import BadInput, Reason
from envctl.oci.blobs import BLOCK, Blob, checked, layer_of
from envctl.oci.content import LAYER_TAR, Descriptor, Image
from envctl.oci.layout import diff_ids_of

LONGEST_DOCUMENT = 16 << 20


def read_archive(path: Path) -> Image:
    """The image in an archive, its layers as they lie there, uncompressed. Raises `BadInput`."""
    where = f"docker-archive:{path}"
    try:
        with tarfile.open(path, "r:") as archive:
            config, layers = _documents(archive, where)
            diff_ids = diff_ids_of(config)
            if len(diff_ids) != len(layers):
                raise BadInput(f"{where} has {len(layers)} layers, its configuration {len(diff_ids)}")
            places = [_place(archive, name, where) for name in layers]
    except (OSError, tarfile.TarError) as error:
        raise BadInput(f"{where} cannot be read", because=[Reason(text=str(error))]) from None
    pairs = zip(diff_ids, places, strict=True)
    return Image(
        config=config, layers=tuple(layer_of(_blob(path, each, *at, where), each, at[1]) for each, at in pairs)
    )


def _documents(archive: tarfile.TarFile, where: str) -> tuple[bytes, list[str]]:
    """The configuration and the layers' names."""
    try:
        entries = json.loads(_read(archive, "manifest.json"))
        if len(entries) != 1:
            tags = [", ".join(entry.get("RepoTags") or ["no tag"]) for entry in entries]
            because = [Reason(text=tag) for tag in tags]
            raise BadInput(f"{where} has {len(entries)} images", because=because, do=["save one image alone"])
        return _read(archive, entries[0]["Config"]), [str(name) for name in entries[0]["Layers"]]
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput(f"{where} is no image archive", because=[Reason(text=str(error))]) from None


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.getmember(name)
    content = archive.extractfile(member) if member.size <= LONGEST_DOCUMENT else None
    if content is None:
        raise ValueError(f"{name} is no document")
    return content.read()


def _place(archive: tarfile.TarFile, name: str, where: str) -> tuple[int, int]:
    """Offset and size of a layer; Docker writes a link for one that it has written already."""
    try:
        member = archive.getmember(name)
        for _ in range(2):
            member = archive._find_link_target(member) if member.issym() or member.islnk() else member  # type: ignore[attr-defined]
    except KeyError:
        do = ["an archive for one daemon may leave out what that daemon has: write a full one"]
        raise BadInput(f"{where} lacks the layer {name}", do=do) from None
    return member.offset_data, member.size


def _blob(path: Path, diff_id: str, offset: int, size: int, where: str) -> Blob:
    stored = Descriptor(media_type=LAYER_TAR, digest=diff_id, size=size)
    return Blob(descriptor=stored, chunks=lambda: checked(_slice(path, offset, size), stored, where))


def _slice(path: Path, offset: int, size: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(offset)
        while size and (block := stream.read(min(BLOCK, size))):
            size -= len(block)
            yield block
