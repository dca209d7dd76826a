"""The base that an image is built upon: the one its lock names, or the one that was asked for, if that is the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from envctl.debian import ALIAS, recipe_digest
from envctl.errors import BadInput, HostLacks, Reason
from envctl.image import base_bringing, base_named, base_names, here
from envctl.lockfile import LockedBase
from envctl.oci.base_image import BaseImage
from envctl.oci.bases import newest, stored_base, stored_bases

SHOWN = 6  # differences that an error names
DIGEST = re.compile(r"(?:.*@)?(sha256:[0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is said of the base beside the lock: another place of it ("": none), where Debian's mirror is, and whether
    the network may be used."""

    given: str = ""
    mirror: Callable[[], str] = str
    offline: bool = False
    insecure: bool = False


def base_for_lock(locked: LockedBase | None, python: str, wish: Wish, say: Callable[[str], None]) -> BaseImage:
    """The base for a lock's Python. Raises when it is not the locked one, and names the difference."""
    found = _given(locked, wish, say) if wish.given else _of_lock(locked, python, wish, say)
    return found.with_python(python)


def _of_lock(locked: LockedBase | None, python: str, wish: Wish, say: Callable[[str], None]) -> BaseImage:
    if locked is None:
        return here(base_bringing(python), say)
    if locked.kind == "registry":
        from envctl.oci.base_sources import from_registry
        from envctl.oci.reference import parse

        return from_registry(parse(locked.name), say, insecure=wish.insecure, offline=wish.offline)
    return _stored(locked) or _made(locked, wish, say)


def _given(locked: LockedBase | None, wish: Wish, say: Callable[[str], None]) -> BaseImage:
    """The base that was asked for; where the lock names one, it must be that."""
    from envctl.oci.base_sources import open_base

    named = DIGEST.fullmatch(wish.given)
    if locked and locked.kind == "registry" and named and named[1] not in (locked.digest, newest(locked.digest)):
        raise _another(locked, named[1])
    found = open_base(wish.given, base_names(), say, insecure=wish.insecure, offline=wish.offline)
    if locked and locked.kind == "registry":
        if not (named or found.digest in (locked.digest, newest(locked.digest))):
            raise _another(locked, found.digest)
    elif locked:
        _check_made(locked, found)
    return found


def _another(locked: LockedBase, digest: str) -> BadInput:
    because = [Reason(text=f"locked {locked.digest}", source="the lock"), Reason(text=f"given  {digest}")]
    do = ["leave --base out, or name a copy with the locked digest: envctl base mirror makes one"]
    return BadInput("the base is not the one that the lock names", because=because, do=do)


# --- bases made of Debian packages


def _stored(locked: LockedBase) -> BaseImage | None:
    """The base in the store with exactly the locked packages, whatever it is called there (one that came out of Docker
    has Docker's name); the newest of its own name before others."""
    digests = [digest for digest, _ in stored_bases()]
    first = newest(locked.name)
    for digest in sorted(digests, key=lambda each: (each != first, each)):
        base = stored_base(digest, locked.name)
        if base and not differences(locked, base):
            return base
    return None


def _made(locked: LockedBase, wish: Wish, say: Callable[[str], None]) -> BaseImage:
    """The base made now; an error when Debian's mirror has other packages than those that were locked."""
    from envctl.oci.debian_base import make_base

    base = base_named(locked.name)
    if recipe_digest(base) != locked.recipe:
        because = [
            Reason(text=f"it was locked by another recipe than this envctl's for {base.name}", source="the lock")
        ]
        do = ["lock again: envctl lock --upgrade", "or use the envctl that wrote the lock"]
        raise HostLacks(f"the locked {base.name} cannot be made", because=because, do=do)
    if wish.offline:
        because = [Reason(text=f"no {base.name} in the store has exactly the {len(locked.packages)} locked packages")]
        do = ["leave --offline out once: it is made then, and kept", "or copy the folder store/bases from where it is"]
        raise HostLacks(f"the locked {base.name} is not on this machine", because=because, do=do)
    say(f"no {base.name} here has the locked packages: making one")
    made = make_base(base, [mirror] if (mirror := wish.mirror()) else [], say)
    _check_made(locked, made)
    return made


def _check_made(locked: LockedBase, found: BaseImage) -> None:
    named = differences(locked, found)
    if not named:
        return
    shown = [Reason(text=line, source="dpkg") for line in named[:SHOWN]]
    more = [Reason(text=f"and {len(named) - SHOWN} more")] if len(named) > SHOWN else []
    do = [
        "lock again with what Debian has now: envctl lock --upgrade",
        f"or a mirror that still has the locked versions: --index {ALIAS}=URL",
    ]
    raise HostLacks(f"{found.name or found.digest} is not the base that the lock names", because=[*shown, *more], do=do)


def differences(locked: LockedBase, found: BaseImage) -> list[str]:
    """What is not as it was locked, sorted: a package with its locked and its found version; the layer, where known."""
    wanted = {(each.name, each.arch): each.version for each in locked.packages}
    got = {(each.name, each.arch): each.version for each in found.packages}
    named = [
        f"{name} ({arch}): locked {wanted.get((name, arch), 'none')}, got {got.get((name, arch), 'none')}"
        for name, arch in sorted(wanted | got)
        if wanted.get((name, arch)) != got.get((name, arch))
    ]
    layers = [layer.diff_id for layer in found.layers]
    if locked.diff_id and layers != [locked.diff_id]:
        named.append(f"the layer: locked {locked.diff_id}, got {', '.join(layers)}")
    return named
