"""Images as files: an OCI layout (a folder) or an archive for `docker load`. Whole, or not there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from envctl.errors import BadInput, HostLacks, Reason
from envctl.oci.archive import docker_archive, layout_files
from envctl.oci.blobs import Packed, packed_of
from envctl.oci.content import Image
from envctl.oci.store import new_file, new_folder
from envctl.tree import disk_errors, sha256_of


def write_layout(image: Image, folder: Path, names: list[str], say: Callable[[str], None]) -> None:
    """Write the image as an OCI layout. Blobs that a layout in this place already has are kept when they are right."""
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / "oci-layout").is_file():
            do = ["name a folder that is not there yet"]
            raise BadInput(f"{folder} holds something else than an OCI layout", do=do)
        with disk_errors(folder):
            fill(packed_of(image), folder, names, say)
        return
    if folder.is_dir():
        with disk_errors(folder):
            folder.rmdir()
    with new_folder(folder) as partial:
        fill(packed_of(image), partial, names, say)


def fill(stored: Packed, folder: Path, names: list[str], say: Callable[[str], None]) -> None:
    """Write a layout into a folder: every file under its name only when it is whole; the index, which makes an image of
    them, last. Blobs that are there are kept when they are right."""
    for number, (path, size, chunks) in enumerate(layout_files(stored, names)):
        say(f"writing blobs: {number}, {size >> 20} MiB")
        final = folder / path
        if final.is_file() and path.startswith("blobs/") and sha256_of(final) == final.name:
            continue
        _write(final, chunks())


def _write(final: Path, chunks: Iterator[bytes]) -> None:
    digest = hashlib.sha256()
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=final.parent, prefix=".partial-")
    try:
        with os.fdopen(handle, "wb") as stream:
            for block in chunks:
                digest.update(block)
                stream.write(block)
        if len(final.name) == 64 and digest.hexdigest() != final.name:
            raise changed(final.name)
        Path(name).chmod(0o644)
        Path(name).replace(final)
    finally:
        Path(name).unlink(missing_ok=True)


def changed(digest: str) -> HostLacks:
    """The error for a layer that did not come out as it was measured."""
    because = [Reason(text=f"the bytes of sha256:{digest} came out otherwise than before", source="store/layers")]
    do = ["delete the folder store in the cache, and do it again"]
    return HostLacks("a layer is not what it was", because=because, do=do)


def write_archive(image: Image, path: Path, names: list[str], say: Callable[[str], None]) -> None:
    """Write the image as a file for `docker load`."""
    say(f"writing {path.name}")
    if path.is_dir():
        raise BadInput(f"{path} is a folder", do=["name the file: -o docker-archive:FILE.tar"])
    with new_file(path) as partial, partial.open("wb") as stream:
        for block in docker_archive(list(image.layers), names, lambda: image):
            stream.write(block)
