"""Whether an entry of the cache is still what it was made as, by the hashes that came with it."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from envctl import lock
from envctl.environment import parts_of
from envctl.errors import BadInput
from envctl.run_uv import uv
from envctl.tree import sha256_of

RECORDS = "lib/python*/site-packages/*.dist-info/RECORD"
BY_CONTENT = re.compile(r"(?:sha256[-:_])?([0-9a-f]{64})(\.whl|\.tar|\.gz|\.deb|\.blob)?")


def why_corrupt(kind: str, path: Path) -> str | None:
    """What is wrong with an entry, "" when nothing is, None when nothing tells.

    A file named by a SHA-256 has it; other kinds are checked by a function of their own, if there is one.
    """
    if ".partial-" in path.name:
        return None
    named = BY_CONTENT.fullmatch(path.name)
    if kind in KINDS:
        return KINDS[kind](path)
    if named and path.is_file():
        found = sha256_of(path)
        return "" if found == named[1] else f"its hash is {found}"
    return None


def _environment(folder: Path) -> str | None:
    """Every file that the wheels brought, by their RECORD; and the distributions that the lock names.

    What is mounted into a container's environment is part of it; a tree that it was linked from is checked by itself.
    """
    try:
        text = (folder / "lock.json").read_text(encoding="utf-8")
        if _of_another_envctl(text):
            return None
        kept = lock.parse(text)
    except (OSError, UnicodeDecodeError, BadInput) as error:
        return f"lock.json: {getattr(error, 'what', error)}"
    root = folder / "prefix" if (folder / "prefix").is_dir() else folder / "venv"
    records = {_name(path.parent): path for path in root.glob(RECORDS)}
    wanted = {(package.name, package.version) for package in kept.packages}
    if missing := sorted(wanted - set(records)):
        return f"{' '.join(missing[0])} is not there"
    parts = {path.name: path.parent for path in parts_of(folder).values()}
    for (name, _), record in records.items():
        if changed := _changed(record, parts):
            if root.name == "venv":  # the file may be uv's own, linked here: it would come back
                uv(["cache", "clean", name], cwd=folder)
            return f"{changed} of {name} is not as it was installed"
    return ""


def _tree(folder: Path) -> str:
    """A wheel unpacked: every file that its RECORD names."""
    changed = [found for record in folder.glob(RECORDS) if (found := _changed(record, {}))]
    return f"{changed[0]} is not as it was unpacked" if changed else ""


def _name(info: Path) -> tuple[str, str]:
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    name, _, version = info.name.removesuffix(".dist-info").partition("-")
    try:
        return canonicalize_name(name), str(Version(version))
    except InvalidVersion:
        return canonicalize_name(name), version


def _changed(record: Path, parts: dict[str, Path]) -> str:
    """The first file of a distribution that is missing or has another hash than its RECORD says; `parts` has the
    site-packages of those packages that lie elsewhere."""
    site = record.parent.parent
    with record.open(encoding="utf-8", newline="") as stream:
        for name, hashed, *_ in csv.reader(stream):
            algorithm, _, value = hashed.partition("=")
            if algorithm == "sha256" and _sha256(parts.get(name.partition("/")[0], site) / name) != value:
                return name
    return ""


def _sha256(path: Path) -> str:
    """A file's hash as RECORD writes it; "" for one that cannot be read."""
    try:
        digest = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return ""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _of_another_envctl(text: str) -> bool:
    """Whether a lock has another format: nothing is wrong with it, an older or newer envctl uses the same cache."""
    try:
        return bool(json.loads(text)["format"] != lock.FORMAT)
    except (ValueError, KeyError, TypeError):
        return False


def _lock(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
        if _of_another_envctl(text):
            return None
        return "" if lock.parse(text).text() == text else "it is not what envctl writes"
    except (OSError, UnicodeDecodeError, BadInput) as error:
        return str(getattr(error, "what", error))


def _json(path: Path) -> str:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        return f"it cannot be read: {error}"
    return ""


KINDS: dict[str, Callable[[Path], str | None]] = {
    "environments": _environment,
    "store/trees": _tree,
    "locks": _lock,
    "metadata": _json,  # a size is JSON too
    "debian": _json,
}
