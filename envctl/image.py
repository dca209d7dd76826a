"""The bases that envctl makes of Debian packages: kept in the store, and put into the Docker daemon, the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from envctl.base import Base, base_for, bases
from envctl.errors import BadInput, HostLacks
from envctl.oci.base_image import BaseImage
from envctl.oci.bases import newest, stored_base


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
    from envctl.oci import daemon
    from envctl.oci.debian_base import make_base

    made = make_base(base, mirrors, say)
    if not daemon.answers():
        say("no Docker daemon answers: the base is in the store alone (run the command again to give it to Docker)")
        return MadeBase(base=base, image=made, docker_id="")
    return MadeBase(base=base, image=made, docker_id=in_docker(base, made, say))


def in_docker(base: Base, image: BaseImage, say: Callable[[str], None]) -> str:
    """The id of a base in the Docker daemon, which has it afterwards, under the name that `envctl base` gives."""
    return _loaded(image, base.tag, say)


def given_to_docker(image: BaseImage, say: Callable[[str], None]) -> str:
    """The id of any base in the Docker daemon, which has it afterwards under its digest: names are the newest's."""
    repository = bases()[0].tag.rpartition(":")[0]
    return _loaded(image, f"{repository}:{image.digest[7:19]}", say)


def _loaded(base: BaseImage, name: str, say: Callable[[str], None]) -> str:
    from envctl.oci import daemon

    there = daemon.named((base.image.config_descriptor.digest, base.image.digest), [name])
    if there:
        return there
    from envctl.oci.load import load_image  # all that makes layers

    return load_image(base.image, [name], say).identifier


def base_bringing(python: str) -> Base:
    """The base that brings this minor version of CPython; raises `BadInput` when none does."""
    base = base_for(python)
    if base is None:
        brought = ", ".join(each.python for each in bases())
        raise BadInput(f"no base brings CPython {python}", do=[f"bases bring CPython {brought}", "or name one: --base"])
    return base


def here(base: Base, say: Callable[[str], None]) -> BaseImage:
    """The newest that was made here of a base; where the store has none, the local Docker's image of it."""
    if kept := stored_base(newest(base.name), base.name):
        return kept
    from envctl.oci.local_base import from_daemon

    try:
        return from_daemon(base.tag, say)
    except HostLacks as error:
        do = [f"make it: envctl base {base.name}", "or name another one: --base"]
        raise HostLacks(f"the base {base.name} is not here", because=error.because, do=do) from error
