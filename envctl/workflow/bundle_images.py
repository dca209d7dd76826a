"""Bases and images of a bundle: each as an OCI image whose blobs are items, all in one layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from envctl.base import bases
from envctl.bundle.manifest import Picture
from envctl.bundle.writing import Item, of_bytes
from envctl.errors import HostLacks, Reason
from envctl.lock import Lock
from envctl.lockfile import LockedBase, Target
from envctl.oci.archive import descriptor_index, layout_files
from envctl.oci.base_image import BaseImage
from envctl.oci.bases import folder_of
from envctl.oci.blobs import Packed, packed_of
from envctl.oci.content import compact_json, digest_of
from envctl.oci.layout import read_layout
from envctl.workflow import build
from envctl.workflow.ask import Listener

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
WITHOUT = "or leave bases out, for machines without containers: --no-base"


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A base or an image with everything that it brings into the layout."""

    picture: Picture
    stored: Packed
    items: tuple[Item, ...]

    def index(self, names: tuple[str, ...]) -> bytes:
        """The index of a layout with this image alone, under these names."""
        stored = self.stored
        return descriptor_index(digest_of(stored.manifest), len(stored.manifest), list(names), stored.media_type)


def drawn(
    target: Target, images: bool, folders: tuple[Path, ...], index: tuple[str, ...], offline: bool, listener: Listener
) -> Iterator[Drawn]:
    """The base of a target, and with `images` its image; nothing for a target without a base."""
    if target.base is None:
        listener.say(f"{target.name} was locked without a base: no image of it" if images else "")
        return
    order = build.Order(locked=target.base, folders=folders, index=index, offline=offline)
    base = _base(target.environment, order, listener)
    yield _drawn("base", read_layout(folder_of(base.digest), base.digest), (_name(target.base),))
    if images:
        draft = build.draft_of(target.environment, order, listener)
        yield _drawn("image", packed_of(draft.finished()), (build.default_name(target.environment),))


def _name(base: LockedBase) -> str:
    """What Docker calls the base."""
    return next((each.tag for each in bases() if base.kind == "made" and each.name == base.name), base.name)


def _base(lock: Lock, order: build.Order, listener: Listener) -> BaseImage:
    """The base that was locked, from the store; raises `HostLacks` where it cannot be had or is for another machine."""
    try:
        base = build.base_of(lock, order, listener)
    except HostLacks as error:
        raise HostLacks(error.what, because=error.because, do=[*error.do, WITHOUT]) from error
    arch = ARCHITECTURES[lock.platform.partition("-")[0]]
    if base.config.get("architecture", arch) != arch:
        because = [Reason(text=f"{base.name} is for {base.config['architecture']}, the target is {arch}")]
        raise HostLacks("the base is for another architecture", because=because, do=[f"bundle on {arch}", WITHOUT])
    return base


def _drawn(kind: str, stored: Packed, names: tuple[str, ...]) -> Drawn:
    files = [each for each in layout_files(stored, []) if each[0].startswith("blobs/")]
    items = [
        Item(path=f"oci/{path}", size=size, sha256=path.rpartition("/")[2], roles=("oci",), blocks=chunks)
        for path, size, chunks in files
    ]
    picture = Picture(
        kind=kind,
        digest=digest_of(stored.manifest).removeprefix("sha256:"),
        blobs=tuple(sorted(item.sha256 for item in items)),
        names=names,
    )
    marker = of_bytes("oci/oci-layout", compact_json({"imageLayoutVersion": "1.0.0"}), "oci")
    return Drawn(picture=picture, stored=stored, items=(marker, *items))


def index_item(found: list[Drawn]) -> Item:
    """The index of the layout: every base and image with its names, so that other tools can read it as it lies."""
    ordered = sorted(found, key=lambda each: (each.picture.kind, each.picture.digest))
    entries = [entry for each in ordered for entry in json.loads(each.index(each.picture.names))["manifests"]]
    first = json.loads(ordered[0].index(()))
    return of_bytes("oci/index.json", compact_json(first | {"manifests": entries}), "oci")
