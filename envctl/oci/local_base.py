"""A base that the local daemon has: saved once, and kept in the store as a layout, as bases of other sources are.

What was made here or fetched is recognised by its digests and not saved again. An image's configuration may hold the
time at which somebody imported it; as that is no property of the base, it is left out: the same files and settings
have the same digest on every machine.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from envctl.errors import HostLacks
from envctl.oci import daemon
from envctl.oci.base_image import BaseImage
from envctl.oci.bases import base_image, being_made, folder_of, newest, point_to, publish, stored_base, stored_bases
from envctl.oci.blobs import packed_of
from envctl.oci.content import Image, Layer, compact_json
from envctl.oci.docker_archive import read_archive
from envctl.oci.layout import read_layout
from envctl.oci.packed_tar import pack_layer
from envctl.oci.written import fill
from envctl.tree import disk_errors

EPOCH = "1970-01-01T00:00:00Z"
SETTINGS = ("architecture", "os", "variant", "config")


def from_daemon(name: str, say: Callable[[str], None]) -> BaseImage:
    """The daemon's image of that name or id as a base; raises `HostLacks` when there is none."""
    found = daemon.image(name)
    if found is None:
        do = ["make one: envctl base debian:bookworm (or debian:trixie, debian:bullseye)", "or name one it has: --base"]
        raise HostLacks(f"Docker has no image {name}", do=do)
    identifier = str(found["Id"])
    known = newest(_pointer(identifier))
    base = stored_base(known, name) if known else _recognised(identifier, name)
    if base is None:
        say(f"reading the base {name} from Docker (once)")
        base = base_image(read_layout(folder_of(_keep(identifier, name, say))), name)
    if base.digest != known:
        point_to(_pointer(identifier), base.digest)
    return base


def _pointer(identifier: str) -> str:
    return f"docker-{identifier.removeprefix('sha256:')}"


def _recognised(identifier: str, name: str) -> BaseImage | None:
    """The base in the store that is the same image: by its configuration (the classic store's id) or its manifest."""
    for digest, _ in stored_bases():
        base = stored_base(digest, name)
        if base and identifier in (digest, base.image.config_descriptor.digest, base.image.digest):
            return base
    return None


def _keep(identifier: str, name: str, say: Callable[[str], None]) -> str:
    """Have the daemon's image in the store; its digest comes back."""
    with being_made(_pointer(identifier)) as folder:
        try:
            saved = folder / "saved.tar"
            _save(identifier, saved)
            image = _packed(read_archive(saved), folder, name, say)
            fill(packed_of(image), folder, [name], say)
            saved.unlink()
            base_image(read_layout(folder), name)  # its layers are what they say
            publish(folder, image.digest)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return image.digest


def _save(identifier: str, path: Path) -> None:
    with daemon.asked("GET", f"/images/{identifier}/get") as answer:
        if answer.status >= 400:
            raise daemon.refused(answer.read())
        with disk_errors(path), path.open("wb") as stream:
            shutil.copyfileobj(answer, stream, 1 << 20)


def _packed(saved: Image, folder: Path, name: str, say: Callable[[str], None]) -> Image:
    """The image with its layers compressed, and without the times in its configuration."""
    layers = []
    for number, layer in enumerate(saved.layers, start=1):
        say(f"{name}: packing layer {number} of {len(saved.layers)}")
        layers.append(pack_layer(folder, _writer(layer), name))
    return Image(config=_timeless(saved.config), layers=tuple(layers))


def _writer(layer: Layer) -> Callable[[IO[bytes]], None]:
    def write(target: IO[bytes]) -> None:
        for block in layer.chunks():
            target.write(block)

    return write


def _timeless(config: bytes) -> bytes:
    """The configuration as it is where its time is that of all bases made here, else what it says without history."""
    found: dict[str, Any] = json.loads(config)
    if found.get("created") == EPOCH:
        return config
    kept = {name: found[name] for name in SETTINGS if found.get(name)}
    return compact_json(kept | {"created": EPOCH, "rootfs": found["rootfs"]})
