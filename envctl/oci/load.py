"""Images into the local Docker daemon, with only the layers that it lacks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

from envctl.errors import HostLacks, Reason
from envctl.oci import daemon
from envctl.oci.archive import Item, docker_archive, greeting, growing_archive, oci_archive
from envctl.oci.assemble import Draft
from envctl.oci.content import Image, Layer
from envctl.oci.store import read_note, write_note
from envctl.oci.threads import ahead

ABSENT = ("no such file", "not found", "does not exist")


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What loading came to: the image's id in the daemon, and how many of its layers were sent."""

    image: Image
    identifier: str
    sent: int


def load(draft: Draft, names: list[str], say: Callable[[str], None]) -> Loaded:
    """Have the daemon hold the image under these names. Layers that were never made are measured on their way."""
    if all(part.measured for part in draft.parts) and (done := _there_already(draft.image(), names)):
        return done
    if daemon.has_containerd_store():
        return _into_containerd(draft.layers(), draft.finished, names, say, draft.recipe.base.image)
    items: list[Item] = [*draft.recipe.base.layers, *draft.parts]
    known = [layer.diff_id for layer in draft.recipe.base.layers]
    for part in draft.parts:
        if part.measured is None:
            break
        known.append(part.measured.diff_id)
    return _into_classic(items, known, draft.image, names, say)


def load_image(image: Image, names: list[str], say: Callable[[str], None]) -> Loaded:
    """The same for an image all of whose layers are known, a base for example."""
    if done := _there_already(image, names):
        return done
    if daemon.has_containerd_store():
        return _into_containerd(image.layers, lambda: image, names, say)
    known = [layer.diff_id for layer in image.layers]
    return _into_classic(list(image.layers), known, lambda: image, names, say)


def _there_already(image: Image, names: list[str]) -> Loaded | None:
    """What there is to say when the daemon has the image, which then has the names too; None when it has not."""
    found = daemon.named((image.config_descriptor.digest, image.digest), names)
    return Loaded(image=image, identifier=found, sent=0) if found else None


def _into_classic(
    items: list[Item], known: list[str], finish: Callable[[], Image], names: list[str], say: Callable[[str], None]
) -> Loaded:
    """Send it without the layers that are there; all of them, where they are not there after all."""
    present = max((_common(known, chain) for chain in daemon.chains()), default=0)
    try:
        return _send_classic(items, finish, names, present, say)
    except HostLacks as error:
        if not present or not _is_absent(error):
            raise
    say("a layer is not there after all: sending the whole image")
    return _send_classic(items, finish, names, 0, say)


def _common(one: list[str], other: list[str]) -> int:
    return next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )


def _send_classic(
    items: list[Item], finish: Callable[[], Image], names: list[str], present: int, say: Callable[[str], None]
) -> Loaded:
    say(f"loading into Docker: {len(items) - present} of {len(items)} layers")
    post(chain([greeting()], docker_archive(items, names, finish, present)))
    image = finish()
    identifier = image.config_descriptor.digest
    if daemon.image(identifier) is None:
        raise HostLacks("Docker loaded something else than was sent", because=[Reason(text=f"it has no {identifier}")])
    return Loaded(image=image, identifier=identifier, sent=len(items) - present)


def _into_containerd(
    layers: Iterable[Layer],
    finish: Callable[[], Image],
    names: list[str],
    say: Callable[[str], None],
    base: Image | None = None,
) -> Loaded:
    """The containerd store wants an OCI layout, and takes one without the blobs that its content store has: the base's
    where the base is there, and those that it was sent before. Layers are sent while those after them are made."""
    key = str(daemon.get("/info")["ID"]).replace(":", "").lower()
    before = frozenset((read_note("daemons", key) or {}).get("blobs", []))
    if base and daemon.image(base.digest):
        before |= {layer.blob.digest for layer in base.layers}
    skipped = before
    say("loading into Docker, without the layers that it has" if before else "loading into Docker")
    try:
        post(growing_archive(layers, finish, [], skipped))
    except HostLacks as error:
        if not skipped or not _is_absent(error):
            raise
        say("a layer is not there after all: sending the whole image")
        skipped = frozenset()
        post(oci_archive(finish(), []))
    image = finish()
    blobs = {layer.blob.digest for layer in image.layers}
    write_note("daemons", key, {"blobs": sorted(blobs | before)})
    if _there_already(image, names) is None:  # an archive's names are taken as they stand there, without their registry
        because = [Reason(text=f"it has no {image.digest}")]
        raise HostLacks("Docker loaded something else than was sent", because=because)
    return Loaded(image=image, identifier=image.digest, sent=len(blobs - skipped))


def _is_absent(error: HostLacks) -> bool:
    return any(mark in reason.text.lower() for reason in error.because for mark in ABSENT)


def post(body: Iterator[bytes]) -> None:
    """Send an archive; raises `HostLacks` with the daemon's words when it refuses."""
    with closing(ahead(body)) as blocks, daemon.asked("POST", "/images/load?quiet=1", blocks) as answer:
        data = answer.read()
        if answer.status >= 400:
            raise daemon.refused(data)
    for line in data.splitlines():
        said = json.loads(line) if line.strip() else {}
        if "error" in said:
            raise HostLacks(
                "Docker refused the image", because=[Reason(text=str(said["error"])[:300], source="Docker")]
            )
