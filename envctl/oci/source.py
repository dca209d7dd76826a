"""Images in files and folders by name: oci:DIR[@DIGEST], docker-archive:FILE."""

from __future__ import annotations

from pathlib import Path

from envctl.errors import BadInput
from envctl.oci.content import Image
from envctl.oci.docker_archive import read_archive
from envctl.oci.layout import image_of, read_layout
from envctl.oci.push import Pushed, push, push_packed
from envctl.oci.reference import Reference
from envctl.oci.transport import Patience, Say

LAYOUT, ARCHIVE = "oci:", "docker-archive:"


def read_image(text: str) -> Image:
    """The image that a text names. Raises `BadInput` for other words, and for what is no image."""
    kind, rest = _split(text)
    if kind == ARCHIVE:
        return read_archive(Path(rest))
    folder, _, digest = rest.partition("@")
    return image_of(read_layout(Path(folder), digest))


def push_from(
    text: str, ref: Reference, say: Say, *, insecure: bool = False, patience: Patience | None = None
) -> Pushed:  # fmt: skip
    """Push it: a layout's manifest as it lies there, so that its digest stays; an archive's image uncompressed."""
    kind, rest = _split(text)
    if kind == ARCHIVE:
        return push(ref, read_archive(Path(rest)), say, insecure=insecure, patience=patience)
    folder, _, digest = rest.partition("@")
    return push_packed(ref, read_layout(Path(folder), digest), say, insecure=insecure, patience=patience)


def _split(text: str) -> tuple[str, str]:
    for kind in (LAYOUT, ARCHIVE):
        if text.startswith(kind) and text != kind:
            return kind, text.removeprefix(kind)
    raise BadInput(f"{text!r} names no image in a file", do=["oci:DIR or docker-archive:FILE"])
