"""Images into registries: what is there already is not sent again, the rest goes side by side, the manifest last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from envctl.errors import BadInput, Reason
from envctl.oci.blobs import Blob, Packed, packed_of
from envctl.oci.content import Image, digest_of
from envctl.oci.reference import Reference
from envctl.oci.registry import Registry
from envctl.oci.threads import side_by_side
from envctl.oci.transport import Patience, Say
from envctl.oci.upload import How, Upload


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What came of a push: the reference by digest, and how many blobs were sent, mounted, or there already."""

    ref: Reference
    digest: str
    blobs: dict[How, int]
    sent_bytes: int


def push(ref: Reference, image: Image, say: Say, *, insecure: bool = False, patience: Patience | None = None) -> Pushed:
    """Have an image in a registry under the reference. Raises `HostLacks`, `BadInput`, `JobFailed`."""
    return push_packed(ref, packed_of(image), say, insecure=insecure, patience=patience)


def push_packed(
    ref: Reference, stored: Packed, say: Say, *, insecure: bool = False, patience: Patience | None = None
) -> Pushed:
    """The same for an image as it is stored: its manifest's bytes, and with them its digest, stay what they are."""
    digest = digest_of(stored.manifest)
    if ref.digest and ref.digest != digest:
        because = [Reason(text=f"its digest is {digest}")]
        raise BadInput(f"this image cannot be {ref}", because=because, do=["push to a tag"])
    registry = Registry(ref.registry, say=say, insecure=insecure, patience=patience)
    ways, sent = send_blobs(registry, ref, stored.blobs, say)
    say(f"writing the manifest of {ref}")
    registry.put_manifest(ref, stored.manifest, stored.media_type)
    return Pushed(ref=ref.at(digest), digest=digest, blobs=dict(ways), sent_bytes=sent)


def send_blobs(registry: Registry, ref: Reference, blobs: Iterable[Blob], say: Say) -> tuple[Counter[How], int]:
    """How the blobs came into the repository, and the bytes that were sent. The first failure ends all."""
    distinct = {blob.descriptor.digest: blob for blob in blobs}
    total = sum(blob.descriptor.size for blob in distinct.values())
    say(f"{len(distinct)} blobs, {_size(total)}, to {ref.origin}")
    ways, sent = Counter[How](), 0
    largest_first = sorted(distinct.values(), key=lambda blob: -blob.descriptor.size)
    uploads = [Upload(registry=registry, ref=ref, blob=blob) for blob in largest_first]
    for upload, way in side_by_side(uploads, Upload.run, registry.http.stop):
        blob = upload.blob.descriptor
        ways[way] += 1
        sent += blob.size if way == "sent" else 0
        say(f"{sum(ways.values())} of {len(distinct)}: {blob.digest[7:19]} {_size(blob.size)} {way}")
    return ways, sent


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
