"""The papers of an image that was built: written into its layout, attached in its registry, and what they warn of.

They depend on the image alone, not on where it goes: its name in them is the lock's, its base's is the system in it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envctl.lock import Lock
from envctl.oci import RULES
from envctl.oci.base_image import BaseImage
from envctl.oci.content import MANIFEST, Descriptor, Image, digest_of
from envctl.oci.layout_papers import Document, add_documents, documents_of
from envctl.papers.licences import Caution, warnings
from envctl.papers.part import Part
from envctl.tree import write_whole
from envctl.workflow.ask import Listener
from envctl.workflow.build import Built, Order, bring

if TYPE_CHECKING:
    from envctl.oci.push import Pushed
    from envctl.oci.transport import Say

LAYOUT = "oci:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """What came of it: where papers lie now, and what to know before others can pull the image."""

    where: tuple[str, ...] = ()
    cautions: tuple[Caution, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """An image in a layout and the papers about it there."""

    subject: Descriptor
    documents: tuple[Document, ...]


def attach(built: Built, order: Order, sbom: Path | None, listener: Listener, *, beside: bool = True) -> Attached:
    """Papers for every layout that was written and the registry that it was pushed to (not so without `beside`), and
    the SBOM as a file. Nothing is read where nobody gets any; a push is warned of in any case.
    """
    began = time.perf_counter()
    layouts = [Path(path.removeprefix(LAYOUT)) for path in built.wrote if path.startswith(LAYOUT) and beside]
    if not (layouts or built.pushed or sbom):
        return Attached()
    parts = parts_of(built.lock, built.base, order, listener)
    documents = _documents(built, parts) if beside or sbom else ()
    where = []
    for folder in layouts:
        add_documents(folder, _subject(built.image), documents)
        where.append(f"{LAYOUT}{folder}")
    if sbom:
        write_whole(sbom, documents[0].data.decode())
        where.append(str(sbom))
    if built.pushed and beside:
        where += attach_to(built.pushed, _subject(built.image), documents, listener.say, insecure=order.insecure)
    listener.say("")
    built.seconds += time.perf_counter() - began
    return Attached(where=tuple(where), cautions=warnings(parts) if built.pushed else ())


def attach_to(
    pushed: Pushed, subject: Descriptor, documents: tuple[Document, ...], say: Say, *, insecure: bool
) -> list[str]:
    """The papers' own references, after they were attached to an image in its registry."""
    from envctl.oci import referrers

    where = []
    for each in documents:
        say(f"attaching {each.artifact_type}")
        made = referrers.attach(pushed.ref, subject, each.artifact_type, each.data, say, insecure=insecure)
        where.append(str(pushed.ref.at(made.digest)))
    return where


def papers_beside(image: str) -> Beside | None:
    """The papers that lie beside an image in a layout, None for other places. Raises `BadInput` for damaged ones."""
    from envctl.oci.layout import read_layout

    if not image.startswith(LAYOUT):
        return None
    folder, _, digest = image.removeprefix(LAYOUT).partition("@")
    stored = read_layout(Path(folder), digest)
    subject = Descriptor(media_type=stored.media_type, digest=digest_of(stored.manifest), size=len(stored.manifest))
    return Beside(subject=subject, documents=documents_of(Path(folder), subject.digest))


def attach_beside(beside: Beside | None, pushed: Pushed, say: Say, *, insecure: bool) -> Attached:
    """Those papers attached to the image where it was pushed to, and what they warn of."""
    from envctl.papers.read import parts_of_sbom
    from envctl.papers.sbom import MEDIA_TYPE

    if beside is None:
        return Attached()
    where = attach_to(pushed, beside.subject, beside.documents, say, insecure=insecure)
    bills = [each.data for each in beside.documents if each.artifact_type == MEDIA_TYPE]
    return Attached(where=tuple(where), cautions=warnings([part for bill in bills for part in parts_of_sbom(bill)]))


def parts_of(lock: Lock, base: BaseImage, order: Order, listener: Listener) -> tuple[Part, ...]:
    """Every wheel and every Debian package of the image, with its licence."""
    from envctl.papers.kept import kept_parts_of_base
    from envctl.papers.wheels import parts_of_lock

    listener.say("reading licences")
    return (*parts_of_lock(lock, bring(lock, order, listener)), *kept_parts_of_base(base.layers))


def _documents(built: Built, parts: tuple[Part, ...]) -> tuple[Document, ...]:
    from envctl.papers import built as paper
    from envctl.papers.attached import papers

    about = paper.Built(
        name=f"envctl-{built.lock.digest[:12]}",
        image=built.image,
        lock=built.lock,
        lock_digest=f"sha256:{built.lock.digest}",
        base=_system(parts),
        base_digest=built.base.digest,
        rules=str(RULES),
        revision=built.revision,
    )
    return tuple(Document(artifact_type=each.artifact_type, data=each.data) for each in papers(about, parts))


def _system(parts: tuple[Part, ...]) -> str:
    """The system of the base as its packages name it: people call one base by several names."""
    found = next((" ".join(filter(None, part.distro)) for part in parts if part.kind == "deb"), "")
    return found or "of an unknown system"


def _subject(image: Image) -> Descriptor:
    return Descriptor(media_type=MANIFEST, digest=image.digest, size=len(image.manifest()))
