"""What stands in an environment: files, links and folders, with the bytes or the place where the bytes are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from envctl.errors import BadInput, Reason
from envctl.oci.record import Hash
from envctl.oci.wheel import Packed

FILE, PROGRAM, FOLDER, LINK = 0o644, 0o755, 0o755, 0o777


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One path of an environment, relative to its prefix ("" is the prefix; `/…` stands above it).

    A file's bytes are `data`: made here, or packed in a zip file. `hash` is what they must have, where somebody says
    so. `owner` is the wheel that brings it, "" for envctl's own.
    """

    path: str
    kind: Literal["file", "link", "folder"] = "file"
    mode: int = FILE
    data: bytes | Packed = b""
    target: str = ""
    owner: str = ""
    hash: Hash | None = None

    @property
    def size(self) -> int:
        """Bytes of a file."""
        return len(self.data) if isinstance(self.data, bytes) else self.data.size


def together(groups: Iterable[list[Entry]]) -> list[Entry]:
    """All entries once, sorted by the bytes of their paths. Raises `BadInput` where two wheels claim one path."""
    found: dict[str, Entry] = {}
    for entry in (entry for group in groups for entry in group):
        before = found.setdefault(entry.path, entry)
        if before is not entry and not _same(before, entry):
            raise _claimed_twice(before, entry)
    for entry in found.values():
        above = entry.path
        while "/" in above:
            above = above.rpartition("/")[0]
            if above in found and found[above].kind != "folder":
                raise _claimed_twice(found[above], entry)
    return sorted(found.values(), key=lambda entry: entry.path.encode())


def _same(one: Entry, other: Entry) -> bool:
    """Whether both are the same file: proved by equal hashes, and by equal sizes and checksums for bytecode."""
    if (one.kind, one.mode, one.target, one.size) != (other.kind, other.mode, other.target, other.size):
        return False
    if one.hash or other.hash:
        return one.hash == other.hash
    if isinstance(one.data, Packed) and isinstance(other.data, Packed):
        return one.path.endswith(".pyc") and one.data.crc == other.data.crc
    return one.data == other.data


def _claimed_twice(one: Entry, other: Entry) -> BadInput:
    owners = [each.owner or "envctl" for each in (one, other)]
    because = [
        Reason(text=f"{owner} brings {each.path}", source=owner)
        for owner, each in zip(owners, (one, other), strict=True)
    ]
    do = ["choose versions that can stand together; whichever came last would win, and break the other"]
    return BadInput(f"two packages claim {one.path}, with different contents", because=because, do=do)


def with_folders(entries: list[Entry]) -> list[Entry]:
    """The entries and every folder above them inside the prefix, sorted."""
    there = {entry.path for entry in entries if entry.kind == "folder"}
    above = {parent for entry in entries for parent in _parents(entry.path)} - there
    folders = [Entry(path=path, kind="folder", mode=FOLDER) for path in above]
    return sorted([*entries, *folders], key=lambda entry: entry.path.encode())


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
