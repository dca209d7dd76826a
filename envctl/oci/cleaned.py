"""A tar written anew so that its bytes depend on its files alone: sorted, no times, no names of users."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

ATTRIBUTES = "SCHILY.xattr."


def write_cleaned(source: Path, target: IO[bytes], is_removed: Callable[[str], bool]) -> None:
    """Copy a tar without the members that `is_removed` names; what is left comes in the bytewise order of paths."""
    with (
        tarfile.open(source, "r:") as old,
        tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8") as new,
    ):
        members = {path: member for member in old if (path := _path(member.name))}
        kept = sorted((path for path in members if not is_removed(path)), key=_bytes)
        first = _first_names(members, kept)
        for path in kept:
            member = members[path]
            content = members[_path(member.linkname)] if member.islnk() else member
            entry = _entry(content, path, first.get(path, path))
            new.addfile(entry, old.extractfile(content) if entry.isreg() else None)


def _path(name: str) -> str:
    """A member's path without what some writers put before it; "" for the root itself."""
    return "" if name == "." else name.removeprefix("./").strip("/")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _first_names(members: dict[str, tarfile.TarInfo], kept: Iterable[str]) -> dict[str, str]:
    """For each name of a file that has several, the first of them in our order: that one carries the bytes."""
    holder = {path: _path(member.linkname) for path, member in members.items() if member.islnk()}
    holder |= {target: target for target in holder.values()}
    first: dict[str, str] = {}
    for path in kept:
        if path in holder:
            first.setdefault(holder[path], path)
    return {path: first[holder[path]] for path in kept if path in holder}


def _entry(content: tarfile.TarInfo, path: str, first: str) -> tarfile.TarInfo:
    """The header of one path: a link to the file's first name, or what the old tar says without its times."""
    entry = tarfile.TarInfo(path)
    entry.mode, entry.uid, entry.gid, entry.type = content.mode, content.uid, content.gid, content.type
    entry.linkname, entry.devmajor, entry.devminor = content.linkname, content.devmajor, content.devminor
    entry.pax_headers = {key: value for key, value in content.pax_headers.items() if key.startswith(ATTRIBUTES)}
    if first != path:
        entry.type, entry.linkname = tarfile.LNKTYPE, first
    elif content.isreg():
        entry.size = content.size
    return entry
