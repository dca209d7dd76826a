"""A file with locked environments -> those environments: a lock file's targets, or the one of an environment's lock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envctl import lock as locks
from envctl import lockfile
from envctl.errors import BadInput, Reason
from envctl.lock import Lock
from envctl.lockfile import LockedBase


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """One locked environment. A plain lock of an environment knows neither target nor engine nor base."""

    lock: Lock
    name: str = ""
    engine: str = ""
    base: LockedBase | None = None


def read_locked(path: Path, source: str = "") -> tuple[Locked, ...]:
    """Every environment that the file locks; raises `BadInput` for what is no lock."""
    source = source or str(path)
    text = _text(path, source)
    if _is_file_of_targets(text):
        found = lockfile.parse(text, source)
        engine = found.request.engine
        return tuple(Locked(lock=e.environment, name=e.name, engine=engine, base=e.base) for e in found.targets)
    try:
        return (Locked(lock=locks.parse(text)),)
    except BadInput as error:
        because = [Reason(text=error.what), *error.because]
        raise BadInput(f"{source} is not a lock", because=because, do=["make it again: envctl lock"]) from error


def one_of(found: tuple[Locked, ...], target: str) -> Locked:
    """The environment of that target ("": the only one); raises `BadInput` with the names there are."""
    chosen = [each for each in found if each.name == target] if target else list(found)
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(each.name or "one without a name" for each in found)
    what = f"the lock has no target {target!r}" if target else "the lock has several targets"
    raise BadInput(what, do=[f"--target NAME, one of: {names}"])


def _text(path: Path, source: str) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        do = ["make it: envctl lock --ort 1.31 -o FILE"]
        raise BadInput(f"cannot read the lock {source}", because=[Reason(text=str(error))], do=do) from error


def _is_file_of_targets(text: str) -> bool:
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and "targets" in data
