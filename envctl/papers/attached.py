"""The papers that are attached to an image, ready to be sent: bytes, and what kind they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from envctl.papers import provenance, sbom
from envctl.papers.built import Built
from envctl.papers.part import Part


@dataclass(frozen=True, kw_only=True, slots=True)
class Paper:
    """One document about an image. `artifact_type` is what a registry lists it under; `file` a name for it on disk."""

    artifact_type: str
    file: str
    data: bytes


def papers(built: Built, parts: Iterable[Part], *, when: datetime | None = None) -> tuple[Paper, ...]:
    """The bill of materials and the statement of provenance of an image."""
    listed = tuple(parts)
    return (
        Paper(artifact_type=sbom.MEDIA_TYPE, file="sbom.cdx.json", data=sbom.sbom(built, listed, when=when)),
        Paper(
            artifact_type=provenance.MEDIA_TYPE,
            file="provenance.intoto.json",
            data=provenance.provenance(built, listed, when=when),
        ),
    )
