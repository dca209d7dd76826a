"""Images into the local Docker daemon, with only the layers that it lacks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

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


def begin() -> daemon.Upload:
    """Greet Docker: it starts the program that unpacks an archive (60 ms) while there is nothing to send yet."""
    upload = daemon.Upload("/images/load?quiet=1")
    upload.send(greeting())
    return upload


def load(draft: Draft, names: list[str], say: Callable[[str], None], upload: daemon.Upload | None = None) -> Loaded:
    """Have the daemon hold the image under these names. Layers that were never made are measured on their way.

    An `upload` has begun before the draft was made.
    """
    if all(part.measured for part in draft.parts) and (done := _there_already(draft.image(), names)):
        return done
    base = draft.recipe.base.image
    way: _Way
    if daemon.has_containerd_store(base.config_descriptor.digest):
        way = _Containerd(draft.layers(), draft.finished, names, say, base)
    else:
        way = _Classic([*draft.recipe.base.layers, *draft.parts], draft.image, names, say)
    return _sent(way, say, upload)


def load_image(image: Image, names: list[str], say: Callable[[str], None]) -> Loaded:
    """The same for an image all of whose layers are known, a base for example."""
    if done := _there_already(image, names):
        return done
    if daemon.has_containerd_store():
        return _sent(_Containerd(image.layers, lambda: image, names, say), say)
    return _sent(_Classic(list(image.layers), lambda: image, names, say), say)


def _there_already(image: Image, names: list[str]) -> Loaded | None:
    """What there is to say when the daemon has the image, which then has the names too; None when it has not."""
    found = daemon.named((image.config_descriptor.digest, image.digest), names)
    return Loaded(image=image, identifier=found, sent=0) if found else None


def _sent(way: _Way, say: Callable[[str], None], upload: daemon.Upload | None = None) -> Loaded:
    """Send an image, without the layers that are there."""
    try:
        post(way.archive(), upload)
    except HostLacks as error:
        if not way.skips or not _is_absent(error):
            raise
        say("a layer is not there after all: sending the whole image")
        post(way.whole())
    return way.loaded()


class _Way(Protocol):
    """How one kind of store takes an image."""

    @property
    def skips(self) -> bool:
        """Whether the archive lacks something that the daemon is thought to have."""

    def archive(self) -> Iterator[bytes]:
        """The bytes to send, as little as will do."""

    def whole(self) -> Iterator[bytes]:
        """All of them."""

    def loaded(self) -> Loaded:
        """What came of it, once it was sent."""


class _Classic:
    """Docker's own store takes an archive of tars, without the first layers of an image that it has."""

    def __init__(
        self, items: list[Item], finish: Callable[[], Image], names: list[str], say: Callable[[str], None]
    ) -> None:
        self.items, self.finish, self.names, self.say = items, finish, names, say
        self.present = 0

    @property
    def skips(self) -> bool:
        return self.present > 0

    def archive(self) -> Iterator[bytes]:
        known = list(_known(self.items))
        self.present = max((_common(known, chain) for chain in daemon.chains()), default=0)
        self.say(f"loading into Docker: {len(self.items) - self.present} of {len(self.items)} layers")
        return docker_archive(self.items, self.names, self.finish, self.present)

    def whole(self) -> Iterator[bytes]:
        self.present = 0
        return docker_archive(self.items, self.names, self.finish)

    def loaded(self) -> Loaded:
        image = self.finish()
        identifier = image.config_descriptor.digest
        if daemon.image(identifier) is None:
            raise _another_than(identifier)
        return Loaded(image=image, identifier=identifier, sent=len(self.items) - self.present)


class _Containerd:
    """The containerd store wants an OCI layout, and takes one without the blobs that its content store has: the base's
    where the base is there, and those that it was sent before. Layers are sent while those after them are made."""

    def __init__(
        self,
        layers: Iterable[Layer],
        finish: Callable[[], Image],
        names: list[str],
        say: Callable[[str], None],
        base: Image | None = None,
    ) -> None:
        self.layers, self.finish, self.names, self.say = layers, finish, names, say
        self.key = str(daemon.get("/info")["ID"]).replace(":", "").lower()
        self.before = frozenset((read_note("daemons", self.key) or {}).get("blobs", []))
        if base and daemon.image(base.digest):
            self.before |= {layer.blob.digest for layer in base.layers}
        self.skipped = self.before

    @property
    def skips(self) -> bool:
        return bool(self.skipped)

    def archive(self) -> Iterator[bytes]:
        self.say("loading into Docker, without the layers that it has" if self.before else "loading into Docker")
        return growing_archive(self.layers, self.finish, [], self.skipped)

    def whole(self) -> Iterator[bytes]:
        self.skipped = frozenset()
        return oci_archive(self.finish(), [])

    def loaded(self) -> Loaded:
        image = self.finish()
        blobs = {layer.blob.digest for layer in image.layers}
        write_note("daemons", self.key, {"blobs": sorted(blobs | self.before)})
        # an archive's names are taken as they stand there, without their registry: they are given afterwards
        if _there_already(image, self.names) is None:
            raise _another_than(image.digest)
        return Loaded(image=image, identifier=image.digest, sent=len(blobs - self.skipped))


def _known(items: list[Item]) -> Iterator[str]:
    """The layers' tars as far as they are measured."""
    for item in items:
        layer = item if isinstance(item, Layer) else item.measured
        if layer is None:
            return
        yield layer.diff_id


def _common(one: list[str], other: list[str]) -> int:
    return next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )


def _another_than(digest: str) -> HostLacks:
    return HostLacks("Docker loaded something else than was sent", because=[Reason(text=f"it has no {digest}")])


def _is_absent(error: HostLacks) -> bool:
    return any(mark in reason.text.lower() for reason in error.because for mark in ABSENT)


def post(body: Iterator[bytes], upload: daemon.Upload | None = None) -> None:
    """Send an archive; raises `HostLacks` with the daemon's words when it refuses."""
    with closing(upload or begin()) as sending:
        with closing(ahead(body)) as blocks:
            for block in blocks:
                if not sending.send(block):
                    break
        data = sending.answer()
    for line in data.splitlines():
        said = json.loads(line) if line.strip() else {}
        if "error" in said:
            raise HostLacks(
                "Docker refused the image", because=[Reason(text=str(said["error"])[:300], source="Docker")]
            )
