"""Bases and images from layouts of the cache into the local Docker daemon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from envctl.bundle.manifest import Picture
from envctl.errors import HostLacks, Reason
from envctl.oci import daemon
from envctl.oci.archive import docker_archive, oci_archive
from envctl.oci.content import Image
from envctl.oci.layout import image_of, read_layout
from envctl.oci.load import post


def into_docker(found: list[tuple[Picture, Path]], say: Callable[[str], None]) -> list[str]:
    """Have the daemon hold each image under its names; those names come back. What it has already is not sent."""
    containerd = daemon.has_containerd_store()
    names: list[str] = []
    for picture, folder in found:
        image = image_of(read_layout(folder, f"sha256:{picture.digest}"))
        missing = [name for name in picture.names if not _is_same(daemon.image(name), image)]
        if missing:
            _have(image, missing, containerd, say)
        names += picture.names
    return names


def _is_same(there: dict[str, Any] | None, image: Image) -> bool:
    """Whether the daemon's image has the same files; an imported base has another id than one that was loaded."""
    return there is not None and there["RootFS"]["Layers"] == [layer.diff_id for layer in image.layers]


def _have(image: Image, names: list[str], containerd: bool, say: Callable[[str], None]) -> None:
    identifier = image.digest if containerd else image.config_descriptor.digest
    if daemon.image(identifier) is None:
        say(f"loading {', '.join(names)} into Docker")
        _send(image, names, containerd)
    if daemon.image(identifier) is None:
        because = [Reason(text=f"it has no {identifier}", source="Docker")]
        raise HostLacks("Docker loaded something else than was sent", because=because)
    for name in names:
        daemon.tag(identifier, name)


def _send(image: Image, names: list[str], containerd: bool) -> None:
    if containerd:
        post(oci_archive(image, names))
        return
    counted = [replace(layer, tar_size=sum(map(len, layer.tar()))) for layer in image.layers]
    post(docker_archive(list(counted), names, lambda: image))
