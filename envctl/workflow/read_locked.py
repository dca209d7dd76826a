"""A lock of any kind -> its environments: those of a lock file's targets, or the one of an environment's plain lock."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from envctl import lock as locks
from envctl import lockfile
from envctl.errors import BadInput, Reason
from envctl.lock import Lock
from envctl.lockfile import LockedBase

DO = ["make one: envctl lock --ort 1.31", "a lock lies in every environment too"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """A locked environment, and the base that it was locked for. A plain lock knows neither target, engine nor base."""

    lock: Lock
    name: str = ""
    engine: str = ""
    base: LockedBase | None = None


def read_locked(path: Path) -> tuple[Locked, ...]:
    """Every environment that the file locks; raises `BadInput` for what is no lock."""
    text = lockfile.text_of(path)
    if _has_targets(text):
        found = lockfile.parse(text, str(path))
        engine = found.request.engine
        return tuple(Locked(lock=e.environment, name=e.name, engine=engine, base=e.base) for e in found.targets)
    try:
        return (Locked(lock=locks.parse(text)),)
    except BadInput as error:
        because = [Reason(text=error.what), *error.because]
        raise BadInput(f"{path} is not a lock", because=because, do=DO) from error


def read_for_image(path: Path, target: str, base: str) -> Locked:
    """The environment to make an image of; `base` is the one that was asked for, if any.

    Raises `BadInput` for a target that was locked without a base while none was asked for.
    """
    found = lockfile.one_of(read_locked(path), target)
    if found.name and found.base is None and not base:
        because = [Reason(text=f"its wheels are for {found.lock.platform}", source=str(path))]
        do = ["say what to build upon: --base debian:bookworm, oci:DIR, or REF@sha256:DIGEST", "or lock it with a base"]
        raise BadInput(f"the target {found.name} was locked without a base", because=because, do=do)
    return found


def _has_targets(text: str) -> bool:
    with suppress(ValueError, RecursionError):
        data = json.loads(text)
        return isinstance(data, dict) and bool({"kind", "targets"} & data.keys())
    return False
