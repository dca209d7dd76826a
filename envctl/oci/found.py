"""An image that somebody has (a registry, the local daemon, a layout, an archive), as far as it was looked at.

Its digests and labels come first and are cheap; its layers are read only when somebody asks for the image.
"""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from envctl.errors import BadInput, HostLacks, Reason
from envctl.oci import daemon
from envctl.oci.blobs import BLOCK, Packed, read_all
from envctl.oci.content import Image, digest_of
from envctl.oci.docker_archive import read_archive
from envctl.oci.layout import image_of, read_layout
from envctl.oci.reference import parse
from envctl.oci.registry import Registry
from envctl.oci.source import ARCHIVE, LAYOUT, read_image
from envctl.oci.store import place
from envctl.oci.transport import Say
from envctl.tree import disk_errors

DAEMON = "docker-daemon:"
IDENTIFIER = re.compile(r"sha256:[0-9a-f]{64}")
OF_A_LAYOUT = re.compile(r"oci-layout|index\.json|blobs/sha256/[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An image and who has it. A digest is "" where only reading the image tells it.

    A registry and a daemon have checked what lies under a digest when they took it; a file may have changed since.
    """

    where: Literal["registry", "daemon", "file"]
    name: str
    image: Callable[[], Image]
    labels: dict[str, str]
    manifest_digest: str = ""
    config_digest: str = ""


@contextmanager
def opened(text: str, say: Say, *, insecure: bool = False) -> Iterator[Found]:
    """The image that a text names: oci:DIR, docker-archive:FILE, docker-daemon:NAME, or a registry's reference.

    A name without a host is the local daemon's where that has it, else the default registry's.
    """
    if text.startswith((LAYOUT, ARCHIVE)):
        yield _in_file(text)
    elif text.startswith(DAEMON) or _is_here(text):
        with _scratch() as folder:
            yield _in_daemon(text.removeprefix(DAEMON), folder, say)
    else:
        ref = parse(text)
        stored = Registry(ref.registry, say=say, insecure=insecure).image(ref)
        yield _packed(stored, "registry", str(ref))


def _is_here(text: str) -> bool:
    first, slash, _ = text.partition("/")
    if slash and (set(first) & set(".:[") or first == "localhost"):
        return False
    try:
        return daemon.image(text) is not None
    except HostLacks:  # no daemon: the name can only be a registry's
        return False


def _in_file(text: str) -> Found:
    if text.startswith(LAYOUT):
        folder, _, digest = text.removeprefix(LAYOUT).partition("@")
        return _packed(read_layout(Path(folder), digest), "file", text)
    image = read_image(text)
    return Found(
        where="file",
        name=text,
        image=lambda: image,
        labels=_labels(image.config),
        config_digest=image.config_descriptor.digest,
    )


def _packed(stored: Packed, where: Literal["registry", "file"], name: str) -> Found:
    return Found(
        where=where,
        name=name,
        image=lambda: image_of(stored),
        labels=_labels(read_all(stored.config)),
        manifest_digest=digest_of(stored.manifest),
        config_digest=stored.config.descriptor.digest,
    )


def _in_daemon(name: str, folder: Path, say: Say) -> Found:
    found = daemon.image(name)
    if found is None:
        do = ["name one that it has: docker images", "or one of a registry: HOST/NAME@sha256:…"]
        raise HostLacks(f"Docker has no image {name}", do=do)
    identifier = str(found["Id"])
    known = {"manifest_digest" if daemon.has_containerd_store() else "config_digest": identifier}
    labels = {str(key): str(value) for key, value in ((found.get("Config") or {}).get("Labels") or {}).items()}
    shown = f"{DAEMON}{name}" if IDENTIFIER.fullmatch(name) else f"{DAEMON}{name} {identifier}"

    def image() -> Image:
        say(f"reading {name} from Docker")
        return read_saved(_saved(identifier, folder), folder / "layout")

    return Found(where="daemon", name=shown, image=image, labels=labels, **known)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder on the cache's disk, as an image can be larger than /tmp."""
    parent = place("saved", "").parent
    with disk_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-saved-", dir=parent) as folder:
            yield Path(folder)


def _saved(identifier: str, folder: Path) -> Path:
    """The archive that the daemon makes of an image."""
    path = folder / "image.tar"
    with daemon.asked("GET", f"/images/{identifier}/get") as answer, disk_errors(path), path.open("wb") as out:
        if answer.status >= 400:
            raise daemon.refused(answer.read())
        while block := answer.read(BLOCK):
            out.write(block)
    return path


def read_saved(archive: Path, folder: Path) -> Image:
    """The image in what a daemon saved: its own kind of archive, or (the containerd store) a layout as a tar, which
    is unpacked into the folder."""
    with tarfile.open(archive, "r:") as tar:
        members = {member.name: member for member in tar if member.isreg() and OF_A_LAYOUT.fullmatch(member.name)}
        if "oci-layout" not in members or not daemon.has_containerd_store():
            return read_archive(archive)
        for name, member in members.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content
            with disk_errors(path), path.open("wb") as out:
                while block := content.read(BLOCK):
                    out.write(block)
    return image_of(read_layout(folder))


def _labels(config: bytes) -> dict[str, str]:
    try:
        labels = (json.loads(config).get("config") or {}).get("Labels") or {}
        return {str(key): str(value) for key, value in labels.items()}
    except (ValueError, AttributeError) as error:
        because = [Reason(text=str(error))]
        raise BadInput("this is no container image's configuration", because=because) from None
