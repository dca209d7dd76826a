"""The lock that `envctl build` is given: a lock file with its targets, or the plain lock of an environment."""

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

DEFAULT = "envctl.lock"
DO = ["make one: envctl lock --ort 1.31", "or build from pins, without LOCK; a lock lies in every environment too"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An environment, and the base that it was locked for: None where the lock says nothing of one."""

    environment: Lock
    base: LockedBase | None = None


def read_lock(path: Path, target: str, base: str) -> Found:
    """What stands in a file. `target` chooses in a lock file, `base` is the one that was asked for, if any.

    Raises `BadInput` for what is no lock, and for a target that stands on no base while none was asked for.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not a lock", because=[Reason(text=str(error))], do=DO) from error
    if _is_lock_file(text):
        return _of_target(lockfile.parse(text, str(path)).target(target), base, path)
    if target:
        raise BadInput(f"{path} has no targets", do=["leave --target out, or give a file that envctl lock wrote"])
    try:
        return Found(environment=locks.parse(text))
    except BadInput as error:
        raise BadInput(f"{path} is not a lock", because=error.because, do=DO) from error


def _is_lock_file(text: str) -> bool:
    with suppress(ValueError, RecursionError):
        data = json.loads(text)
        return isinstance(data, dict) and data.get("kind") == lockfile.KIND
    return False


def _of_target(target: lockfile.Target, base: str, path: Path) -> Found:
    if target.base is None and not base:
        because = [Reason(text=f"its wheels are for {target.environment.platform}", source=str(path))]
        do = ["say what to build upon: --base debian:bookworm, oci:DIR, or REF@sha256:DIGEST", "or lock it with a base"]
        raise BadInput(f"the target {target.name} was locked without a base", because=because, do=do)
    return Found(environment=target.environment, base=target.base)
