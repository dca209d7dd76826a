"""Whether an image that somebody has is the expected one: by its digest where that is enough, else layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from envctl.errors import BadInput, JobFailed
from envctl.oci.content import Image, Layer
from envctl.oci.difference import Difference, first_difference
from envctl.oci.found import Found
from envctl.oci.survey import TarStream
from envctl.oci.transport import Say


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What came of it: the first difference (None: same configuration, same layers), and what showed it.

    `packing` says whether the layers are compressed as envctl does it: "other" is what a daemon's push makes of them,
    "unknown" a daemon's own store. It changes an image's digest in registries, and no file.
    """

    difference: Difference | None
    by: Literal["digest", "layers"]
    packing: Literal["same", "other", "unknown"]


def compared(expected: Image, found: Found, say: Say) -> Compared:
    """Compare them. A registry's and a daemon's digests are believed; files are read, as they may be damaged."""
    if found.where == "registry" and found.manifest_digest == expected.digest:
        return Compared(difference=None, by="digest", packing="same")
    ids = (found.manifest_digest == expected.digest, found.config_digest == expected.config_descriptor.digest)
    if found.where == "daemon" and any(ids):
        return Compared(difference=None, by="digest", packing="unknown")
    image = found.image()
    say(f"reading {len(image.layers)} layers of {found.name}")
    difference = _difference(expected, image)
    return Compared(difference=difference, by="layers", packing=_packing(expected, image, found))


def _difference(expected: Image, found: Image) -> Difference | None:
    """The first one; a layer that cannot be read, or is not what its image says, is one too."""
    try:
        difference = first_difference(expected, found, blobs=False)
    except (JobFailed, BadInput):
        damaged = _damaged(expected, found)
        if damaged is None:  # it was ours that could not be read
            raise
        return damaged
    return difference or _damaged(expected, found)


def _damaged(expected: Image, found: Image) -> Difference | None:
    """The first layer whose stored bytes are not the tar that the configuration names: all of them are read."""
    ours = {layer.blob.digest for layer in expected.layers}
    for number, layer in enumerate(found.layers):
        try:
            _read(layer, unpack=layer.blob.digest not in ours)
        except (JobFailed, BadInput) as error:
            words = "; ".join([error.what, *(reason.text for reason in error.because)])
            return Difference(
                kind="layer", change="changed", layer=number, what="as stored", expected=layer.diff_id, found=words
            )
    return None


def _read(layer: Layer, *, unpack: bool) -> None:
    """Read a layer to its end. Raises `JobFailed` or `BadInput` when it is not what it is said to be."""
    if unpack:
        TarStream(layer.tar()).finish(layer.diff_id)
        return
    for _ in layer.chunks():  # checked on the way: its digest is one of ours
        pass


def _packing(expected: Image, image: Image, found: Found) -> Literal["same", "other", "unknown"]:
    if found.where == "daemon" or not found.manifest_digest:
        return "unknown"
    blobs = [[layer.blob.digest for layer in each.layers] for each in (expected, image)]
    return "same" if blobs[0] == blobs[1] else "other"
