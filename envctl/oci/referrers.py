"""Documents attached to an image in its registry: an SBOM, a provenance statement.

OCI distribution specification 1.1, "Listing Referrers"; a registry without that API keeps the list under a tag made of
the image's digest, which clients maintain ("Referrers Tag Schema").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from envctl.errors import BadInput
from envctl.oci.blobs import INDEX, Blob, descriptor, is_digest
from envctl.oci.content import MANIFEST, Descriptor, compact_json, digest_of
from envctl.oci.push import send_blobs
from envctl.oci.reference import Reference
from envctl.oci.registry import Registry, pull_scope
from envctl.oci.transport import Patience, Say

EMPTY = Descriptor(media_type="application/vnd.oci.empty.v1+json", digest=digest_of(b"{}"), size=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Referrer:
    """A manifest that refers to an image: its descriptor and what it is about."""

    descriptor: Descriptor
    artifact_type: str


def attach(
    ref: Reference,
    subject: Descriptor,
    artifact_type: str,
    data: bytes,
    say: Say,
    *,
    insecure: bool = False,
    patience: Patience | None = None,
) -> Descriptor:
    """The manifest of a document that is now attached to that image; the same one is attached once."""
    registry = Registry(ref.registry, say=say, insecure=insecure, patience=patience)
    manifest, document = artifact(subject, artifact_type, data)
    blobs = [_bytes(EMPTY, b"{}"), _bytes(document, data)]
    send_blobs(registry, ref, blobs, say)
    made = Descriptor(media_type=MANIFEST, digest=digest_of(manifest), size=len(manifest))
    headers = registry.put_manifest(ref.at(made.digest), manifest, MANIFEST)
    if "OCI-Subject" not in headers:  # the registry keeps no list
        _add(registry, ref, subject, made, artifact_type)
    return made


def artifact(subject: Descriptor, artifact_type: str, data: bytes) -> tuple[bytes, Descriptor]:
    """The manifest of a document about an image, and the document's own descriptor."""
    document = Descriptor(media_type=artifact_type, digest=digest_of(data), size=len(data))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": EMPTY.json(),
        "layers": [document.json()],
        "subject": subject.json(),
    }
    return compact_json(manifest), document


def referrers(registry: Registry, ref: Reference, digest: str) -> tuple[Referrer, ...]:
    """What is attached to the image of a digest, in the registry's order."""
    url, doing = f"/v2/{ref.repository}/referrers/{digest}", f"list what is attached to {ref.at(digest)}"
    answer = registry.http.call(
        "GET", url, doing=doing, expect=(200, 400, 404, 405), scope=pull_scope(ref), headers={"Accept": INDEX}
    )
    if answer.status_code == 200 and answer.headers.get("Content-Type", "").startswith(INDEX):
        return _referrers(json.loads(answer.content))
    return _referrers(_kept(registry, ref, digest))


def document(registry: Registry, ref: Reference, referrer: Referrer) -> bytes:
    """The bytes of an attached document."""
    manifest = registry.manifest(ref.at(referrer.descriptor.digest)).json
    return b"".join(registry.blob(ref, descriptor(manifest["layers"][0])).chunks())


def _bytes(wanted: Descriptor, data: bytes) -> Blob:
    return Blob(descriptor=wanted, chunks=lambda: iter([data]))


def _referrers(index: dict[str, Any]) -> tuple[Referrer, ...]:
    entries = index.get("manifests", [])
    return tuple(
        Referrer(descriptor=descriptor(entry), artifact_type=str(entry.get("artifactType", ""))) for entry in entries
    )


def _tag(ref: Reference, digest: str) -> Reference:
    if not is_digest(digest):
        raise BadInput(f"{digest!r} is no sha256 digest")
    return Reference(registry=ref.registry, repository=ref.repository, tag=digest.replace(":", "-"))


def _kept(registry: Registry, ref: Reference, digest: str) -> dict[str, Any]:
    """The list under the tag; an empty one when there is none."""
    found = registry.find(_tag(ref, digest), INDEX)
    empty: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    return found.json if found else empty


def _add(registry: Registry, ref: Reference, subject: Descriptor, made: Descriptor, kind: str) -> None:
    index = _kept(registry, ref, subject.digest)
    if any(entry.get("digest") == made.digest for entry in index["manifests"]):
        return
    entries = [*index["manifests"], made.json() | {"artifactType": kind}]
    registry.put_manifest(_tag(ref, subject.digest), compact_json(index | {"manifests": entries}), INDEX)
