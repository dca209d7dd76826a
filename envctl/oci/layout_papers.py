"""Documents about an image in an OCI layout: listed in its index beside the image, each by a manifest whose subject is
the image. Tools that know referrers (OCI 1.1) find them there; the same manifests are what a registry gets.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envctl.errors import BadInput, Reason
from envctl.oci.blobs import descriptor, is_digest
from envctl.oci.content import MANIFEST, Descriptor, compact_json, digest_of
from envctl.oci.referrers import EMPTY, artifact
from envctl.tree import disk_errors

NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A document about an image, and what kind it is."""

    artifact_type: str
    data: bytes


def add_documents(folder: Path, subject: Descriptor, documents: Iterable[Document]) -> None:
    """Put documents about an image into the layout that holds it; the index, which lists them, is written last.

    Documents that it lists already for that image are replaced. An image without a name gets the name `latest`: some
    tools take one of several entries only by its name.
    """
    index = _index(folder)
    entries = [_named(each) for each in index["manifests"] if not _is_about(folder, each, subject.digest)]
    for document in documents:
        manifest, stored = artifact(subject, document.artifact_type, document.data)
        for data in (b"{}", document.data, manifest):
            _write(_blob(folder, digest_of(data)), data)
        assert stored.digest == digest_of(document.data) and EMPTY.digest == digest_of(b"{}")
        made = Descriptor(media_type=MANIFEST, digest=digest_of(manifest), size=len(manifest))
        entries.append(made.json() | {"artifactType": document.artifact_type})
    _write(folder / "index.json", compact_json(index | {"manifests": entries}))


def documents_of(folder: Path, subject: str) -> tuple[Document, ...]:
    """The documents about the image of that digest in a layout, in its order. Raises `BadInput` for damaged ones."""
    found = []
    for entry in _index(folder)["manifests"]:
        if _is_about(folder, entry, subject):
            manifest = json.loads(_read(folder, str(entry["digest"])))
            stored = descriptor(manifest["layers"][0])
            kind = str(manifest.get("artifactType", stored.media_type))
            found.append(Document(artifact_type=kind, data=_read(folder, stored.digest)))
    return tuple(found)


def _named(entry: dict[str, Any]) -> dict[str, Any]:
    return entry if entry.get("annotations") or "artifactType" in entry else entry | {"annotations": {NAME: "latest"}}


def _is_about(folder: Path, entry: dict[str, Any], subject: str) -> bool:
    """Whether an entry of the index is a document's manifest, about that image."""
    if "artifactType" not in entry:
        return False
    try:
        about = json.loads(_read(folder, str(entry["digest"])))["subject"]["digest"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(about == subject)


def _index(folder: Path) -> dict[str, Any]:
    try:
        index = json.loads((folder / "index.json").read_bytes())
        if not isinstance(index["manifests"], list):
            raise TypeError("manifests")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"oci:{folder} cannot be read", because=[Reason(text=f"index.json: {error}")]) from None
    return dict(index)


def _blob(folder: Path, digest: str) -> Path:
    if not is_digest(digest):
        raise BadInput(f"oci:{folder} has an index with {digest!r}, which is no sha256 digest")
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _read(folder: Path, digest: str) -> bytes:
    path = _blob(folder, digest)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"oci:{folder} lacks a document about its image", because=[Reason(text=str(error))]) from None
    if hashlib.sha256(data).hexdigest() != path.name:
        because = [Reason(text=f"its bytes are not those of {digest}")]
        raise BadInput(f"a document about the image in oci:{folder} is damaged", because=because, do=["make it anew"])
    return data


def _write(path: Path, data: bytes) -> None:
    """Write a small file, whole or not at all."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
