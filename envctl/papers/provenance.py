"""What an image was made of and by what: an in-toto statement with SLSA's provenance, unsigned.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and https://slsa.dev/spec/v1.1/provenance
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from envctl.oci.content import compact_json
from envctl.papers.built import Built, hexadecimal
from envctl.papers.part import Part

MEDIA_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
# Names, not addresses: the meaning of the fields is in docs/papers.md. They change when the meaning does.
BUILD_TYPE = "urn:x-envctl:image-from-lock:v1"
BUILDER = "urn:x-envctl:builder:local"
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def provenance(built: Built, parts: Iterable[Part], *, when: datetime | None = None) -> bytes:
    """The statement about an image's digest; the same bytes for the same image, as it names no time unless given."""
    subject = {"name": built.name, "digest": _digest(built.image.digest)}
    predicate = {"buildDefinition": _definition(built, parts), "runDetails": _run(built, when)}
    statement = {"_type": STATEMENT, "subject": [subject], "predicateType": PREDICATE, "predicate": predicate}
    return compact_json(statement)


def _definition(built: Built, parts: Iterable[Part]) -> dict[str, Any]:
    """What the builder was given: the lock, the base and the source by digest, and every wheel that came of it."""
    asked = {"lock": built.lock_digest, "base": built.base_digest}
    materials = [
        {"name": "lock", "digest": _digest(built.lock_digest), "mediaType": "application/json"},
        {"name": f"base {built.base}", "digest": _digest(built.base_digest)},
    ]
    if built.revision:
        asked["revision"] = built.revision
    if COMMIT.fullmatch(built.revision):
        materials.append({"name": "source", "digest": {"gitCommit": built.revision}})
    materials += [
        {"name": part.file, "uri": part.purl, "digest": {"sha256": part.sha256}} for part in parts if part.sha256
    ]
    return {
        "buildType": BUILD_TYPE,
        "externalParameters": asked,
        "internalParameters": {"rules": built.rules},
        "resolvedDependencies": materials,
    }


def _run(built: Built, when: datetime | None) -> dict[str, Any]:
    builder = {"id": BUILDER, "version": {"envctl": built.envctl}}
    return {"builder": builder} | ({"metadata": {"finishedOn": when.isoformat()}} if when else {})


def _digest(digest: str) -> dict[str, str]:
    return {"sha256": hexadecimal(digest)}
