"""One wheel of a lock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedPackage:
    """One wheel: what it is, its file name, size in bytes and hash, and the alias of the index that serves it."""

    name: str
    version: str
    file: str
    size: int
    sha256: str
    index: str


def export(locked: Iterable[LockedPackage]) -> str:
    """Hash-pinned requirements, as pip and uv read them."""
    return "".join(f"{p.name}=={p.version} --hash=sha256:{p.sha256}\n" for p in locked)
