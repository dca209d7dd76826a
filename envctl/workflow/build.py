"""`envctl build`: a lock (of a file or of pins) and a base -> an image, computed, written, loaded or pushed."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from envctl.errors import BadInput, HostLacks, Reason
from envctl.lock import Lock
from envctl.lockfile import LockedBase
from envctl.oci.assemble import Draft
from envctl.oci.base_image import BaseImage
from envctl.oci.content import Image
from envctl.oci.recipe import Recipe
from envctl.workflow.build_base import Wish, base_for_lock

if TYPE_CHECKING:
    from envctl.oci.daemon import Upload
    from envctl.oci.push import Pushed
    from envctl.oci.reference import Reference
    from envctl.workflow.ask import Ask, Listener

KINDS = ("oci", "docker-archive")
# Docker's grammar of a name with its tag; upper case is for tags only
NAME = re.compile(r"(?=.{1,255}$)([a-z0-9.-]+(:\d+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[\w][\w.-]{0,127})?", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What shall come of a build (names, `oci:DIR` or `docker-archive:FILE`, an image in Docker or a registry), from
    what: `locked` is the base that the lock names, `base` where else it, or any, may be taken from."""

    names: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    load: bool = False
    push: str = ""
    insecure: bool = False
    locked: LockedBase | None = None
    base: str = ""
    revision: str = ""
    folders: tuple[Path, ...] = ()
    index: tuple[str, ...] = ()
    offline: bool = False


@dataclass(kw_only=True)
class Built:
    """What came of it. `sent` is how many layers Docker got, None when nothing was loaded."""

    lock: Lock
    base: BaseImage
    image: Image
    layers: list[tuple[str, str]]  # diff id, what is in it
    names: tuple[str, ...] = ()
    wrote: list[str] = field(default_factory=list)
    identifier: str = ""
    sent: int | None = None
    pushed: Pushed | None = None
    revision: str = ""
    seconds: float = 0.0


def build(lock: Lock, order: Order, listener: Listener) -> Built:
    """The image of a lock, and of it what was ordered. Without outputs its identity is computed, no more."""
    began = time.perf_counter()
    outputs = [read_output(text) for text in order.outputs]
    names = tuple(_checked_name(name) for name in order.names)
    target = _target(order)
    recipe = _recipe(lock, order, listener)
    with ExitStack() as stack:
        upload = stack.enter_context(closing(_begun())) if order.load and not recipe.was_measured else None
        draft = stack.enter_context(closing(_draft(recipe, order, listener)))
        built = _loaded(draft, names, upload, listener) if order.load else _measured(draft)
        built.names = names or built.names
        for kind, path in outputs:
            _write(kind, built.image, path, names, listener)
            built.wrote.append(f"{kind}:{path}")
        if target:
            from envctl.oci.push import push

            built.pushed = push(target, built.image, listener.say, insecure=order.insecure)
    built.revision = order.revision
    listener.say("")
    built.seconds = time.perf_counter() - began
    return built


def _target(order: Order) -> Reference | None:
    """Where to push to, read before anything is made; None for nowhere."""
    if not order.push:
        return None
    from envctl.oci.reference import parse

    return parse(order.push)


def _write(kind: str, image: Image, path: Path, names: tuple[str, ...], listener: Listener) -> None:
    from envctl.oci import written

    write = written.write_layout if kind == "oci" else written.write_archive
    write(image, path, list(names), listener.say)


def draft_of(lock: Lock, order: Order, listener: Listener) -> Draft:
    """The image to be, as far as it is known already."""
    return _draft(_recipe(lock, order, listener), order, listener)


def _recipe(lock: Lock, order: Order, listener: Listener) -> Recipe:
    return Recipe(lock=lock, base=base_of(lock, order, listener), revision=order.revision)


def _draft(recipe: Recipe, order: Order, listener: Listener) -> Draft:
    return Draft(recipe, lambda: bring(recipe.lock, order, listener), listener.say)


def base_of(lock: Lock, order: Order, listener: Listener) -> BaseImage:
    """The base that the order says, the lock names, or this machine has for the lock's Python."""
    from envctl.aliases import read_indexes
    from envctl.debian import ALIAS

    def mirror() -> str:
        return read_indexes(list(order.index)).addresses.get(ALIAS, "")

    if order.index:
        mirror()  # whatever cannot be read is said before anything is made
    wish = Wish(given=order.base, mirror=mirror, offline=order.offline, insecure=order.insecure)
    return base_for_lock(order.locked, lock.python, wish, listener.say)


def bring(lock: Lock, order: Order, listener: Listener) -> dict[str, Path]:
    """The lock's wheels by their hashes, wherever the order says that they may come from."""
    from envctl.aliases import read_indexes
    from envctl.oci import wheels

    indexes = read_indexes(list(order.index))
    return wheels.bring(lock, indexes, order.folders, offline=order.offline, say=listener.say)


def _begun() -> Upload:
    from envctl.oci.load import begin

    return begin()


def _loaded(draft: Draft, names: tuple[str, ...], upload: Upload | None, listener: Listener) -> Built:
    from envctl.oci import load

    names = names or (default_name(draft.recipe.lock),)
    done = load.load(draft, list(names), listener.say, upload)
    return _built(draft, done.image, names=names, identifier=done.identifier, sent=done.sent)


def _measured(draft: Draft) -> Built:
    return _built(draft, draft.finished())


def _built(draft: Draft, image: Image, **more: object) -> Built:
    layers = [(part.layer().diff_id, part.group.title) for part in draft.parts]
    return Built(lock=draft.recipe.lock, base=draft.recipe.base, image=image, layers=layers, **more)  # type: ignore[arg-type]


def default_name(lock: Lock) -> str:
    """The name an image gets in Docker when none was given."""
    return f"envctl:{lock.digest[:12]}"


def read_output(text: str) -> tuple[str, Path]:
    """The kind and the path in `oci:DIR` or `docker-archive:FILE`."""
    kind, found, path = text.partition(":")
    if kind not in KINDS or not found or not path:
        do = ["-o oci:DIR, or -o docker-archive:FILE.tar"]
        raise BadInput(f"-o {text!r} does not say what to write", do=do)
    return kind, Path(path)


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BadInput(f"--tag {name!r} is not a name for an image", do=["for example --tag models/openvino:2026.4"])
    return name


def resolved(ask: Ask, listener: Listener) -> Lock:
    """The lock that the pins resolve to, for the bases that are here."""
    from envctl import host as host_module
    from envctl import matrix
    from envctl.aliases import read_indexes
    from envctl.runner.docker import DockerRunner
    from envctl.workflow.plan import known_facts, plan_target
    from envctl.workflow.prepare import check_pins_took_effect, locked_for

    host = host_module.read_host()
    runner = DockerRunner()
    if why_not := runner.why_not():
        do = ["make a base: envctl base debian:bookworm", "or give a lock instead of pins"]
        raise HostLacks("there is no base to build upon", because=[Reason(text=why_not)], do=do)
    plan = plan_target(matrix.load(), ask, known_facts(host, runner, None, ask.gpu), runner, None)
    listener.planned("target", plan)
    lock = locked_for(plan, ask, host, read_indexes(list(ask.index)), listener)
    check_pins_took_effect(ask.pins, plan.stack, lock)
    listener.prepared("target")
    return lock
