"""Bases and images of a bundle: each as an OCI image whose blobs are items, all in one layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from envctl.bundle.manifest import Picture
from envctl.bundle.writing import Item, of_bytes
from envctl.errors import HostLacks, Reason
from envctl.lock import Lock
from envctl.lockfile import LockedBase, Target
from envctl.oci import local_base
from envctl.oci.archive import index_of, layout_files
from envctl.oci.base_image import BaseImage
from envctl.oci.content import Image, compact_json
from envctl.spec import bases
from envctl.workflow import build
from envctl.workflow.ask import Listener

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
WITHOUT = "or leave bases out, for machines without containers: --no-base"


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A base or an image with everything that it brings into the layout."""

    picture: Picture
    image: Image
    items: tuple[Item, ...]


def drawn(
    target: Target, images: bool, folders: tuple[Path, ...], index: tuple[str, ...], offline: bool, listener: Listener
) -> Iterator[Drawn]:
    """The base of a target, and with `images` its image; nothing for a target without a base."""
    if target.base is None:
        listener.say(f"{target.name} was locked without a base: no image of it" if images else "")
        return
    name = _name(target.base)
    base = _base(name, target.base, target.environment, listener)
    yield _drawn("base", Image(config=compact_json(base.config), layers=base.layers), (name,))
    if images:
        order = build.Order(base=name, folders=folders, index=index, offline=offline)
        draft = build.draft_of(target.environment, order, listener)
        draft.measure()
        yield _drawn("image", draft.image(), (build.default_name(target.environment),))


def _name(base: LockedBase) -> str:
    """What Docker calls the base."""
    return next((each.tag for each in bases() if base.kind == "made" and each.name == base.name), base.name)


def _base(name: str, wanted: LockedBase, lock: Lock, listener: Listener) -> BaseImage:
    """The base as Docker has it; raises `HostLacks` where it is another one than was locked."""
    try:
        base = local_base.from_daemon(name, lock.python, listener.say)
    except HostLacks as error:
        raise HostLacks(error.what, because=error.because, do=[*error.do, WITHOUT]) from error
    arch = ARCHITECTURES[lock.platform.partition("-")[0]]
    if base.config.get("architecture", arch) != arch:
        because = [Reason(text=f"{name} is for {base.config['architecture']}, the target is {arch}")]
        raise HostLacks("the base is for another architecture", because=because, do=[f"bundle on {arch}", WITHOUT])
    if wanted.diff_id and [wanted.diff_id] != [layer.diff_id for layer in base.layers]:
        because = [Reason(text=f"locked: {wanted.diff_id}", source="the lock")]
        raise HostLacks(f"{name} is not the base that was locked", because=because, do=["make it again", WITHOUT])
    return base


def _drawn(kind: str, image: Image, names: tuple[str, ...]) -> Drawn:
    files = [each for each in layout_files(image, []) if each[0].startswith("blobs/")]
    items = [
        Item(path=f"oci/{path}", size=size, sha256=path.rpartition("/")[2], roles=("oci",), blocks=chunks)
        for path, size, chunks in files
    ]
    picture = Picture(
        kind=kind,
        digest=image.digest.removeprefix("sha256:"),
        blobs=tuple(sorted(item.sha256 for item in items)),
        names=names,
    )
    marker = of_bytes("oci/oci-layout", compact_json({"imageLayoutVersion": "1.0.0"}), "oci")
    return Drawn(picture=picture, image=image, items=(marker, *items))


def index_item(found: list[Drawn]) -> Item:
    """The index of the layout: every base and image with its names, so that other tools can read it as it lies."""
    ordered = sorted(found, key=lambda each: (each.picture.kind, each.picture.digest))
    entries = [
        entry for each in ordered for entry in json.loads(index_of(each.image, list(each.picture.names)))["manifests"]
    ]
    first = json.loads(index_of(ordered[0].image, []))
    return of_bytes("oci/index.json", compact_json(first | {"manifests": entries}), "oci")
