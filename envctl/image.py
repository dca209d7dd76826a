"""Base images for the docker runner: made here from Debian packages, then put into the daemon, the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from envctl.errors import BadInput, HostLacks, Reason
from envctl.oci.bases import BaseImage
from envctl.oci.content import Image, compact_json
from envctl.oci.debian_base import make_base
from envctl.oci.docker_archive import archive_chunks
from envctl.spec import Base, bases

PING_SECONDS = 3
LOAD_SECONDS = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeBase:
    """A base that was made: what the store has, and its id in the Docker daemon ("" where none answers)."""

    base: Base
    image: BaseImage
    docker_id: str


def base_names() -> tuple[str, ...]:
    """The names of the bases that envctl can make."""
    return tuple(base.name for base in bases())


def base_named(name: str) -> Base:
    """The base of that name; raises `BadInput` with the names there are."""
    for base in bases():
        if base.name == name:
            return base
    raise BadInput(f"unknown base {name!r}", do=[f"one of: {', '.join(base_names())}"])


def make(base: Base, mirrors: Iterable[str], say: Callable[[str], None]) -> MadeBase:
    """Make a base, keep it, and give it to the Docker daemon where one answers."""
    made = make_base(base, mirrors, say)
    client = _docker()
    if client is None:
        say("no Docker daemon answers: the base is in the store alone (run the command again to give it to Docker)")
        return MadeBase(base=base, image=made, docker_id="")
    say(f"loading {base.tag} into Docker")
    return MadeBase(base=base, image=made, docker_id=_load(client, base.tag, made))


def _docker() -> Any:
    """A client of the daemon; None when none answers."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=PING_SECONDS)
        client.ping()
    except DockerException:
        return None
    client.api.timeout = LOAD_SECONDS
    return client


def _load(client: Any, tag: str, made: BaseImage) -> str:
    """The id of the image in the daemon; raises `HostLacks` when the daemon has other layers than were sent."""
    from docker.errors import APIError, ImageNotFound

    image = Image(config=compact_json(made.config), layers=made.layers)
    try:
        client.images.load(archive_chunks(image, [tag]))
        found = client.images.get(tag)
    except (APIError, ImageNotFound) as error:
        because = [Reason(text=str(error)[:300], source="Docker")]
        raise HostLacks(f"Docker did not take {tag}", because=because, do=["docker info; df -h"]) from None
    layers = found.attrs["RootFS"]["Layers"]
    if layers != [layer.diff_id for layer in made.layers]:
        because = [Reason(text=f"Docker has {', '.join(layers)}", source="docker inspect")]
        raise HostLacks(f"Docker has another {tag} than was sent", because=because)
    return str(found.id)
