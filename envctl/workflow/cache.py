"""The cache: what lies there, what uses it, when it was last used; removing what is old, and what is corrupt.

Every folder in the cache, and every folder in its `store/`, is a kind; what lies in a kind's folder is an entry. So
kinds that are added later are listed and pruned without a word here. An entry is used by a kept lock when its name
begins with a hash that the lock names (a wheel's), or with the lock's own (an environment's).
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from envctl import lock
from envctl.errors import BadInput, HostLacks, Reason
from envctl.tree import cache_root

STORE = "store"
HIDDEN = ".removing-"
UNFINISHED = (".partial-", HIDDEN)
FETCHING = "wheels-"  # as an older envctl named the folder that it fetched wheels into
GUARD = ".lock-"  # of a base: `.lock-KEY` is held by whoever fills `.partial-KEY`
DAY = 24 * 3600.0
HASH = re.compile(r"(?:sha256[-:_])?([0-9a-f]{24,64})(?![0-9a-f])")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing in the cache: bytes (a file with several names counts once), last use (seconds since 1970), and the
    kept locks that use it. `partial`: it was never finished."""

    kind: str
    path: Path
    size: int
    used: float
    users: tuple[str, ...] = ()
    partial: bool = False

    @property
    def name(self) -> str:
        """Its name within its kind."""
        return self.path.name


def entries(kind: str = "") -> list[Entry]:
    """Everything in the cache, or all of one kind; the last used first within a kind."""
    folders = dict(_kinds())
    if kind and kind not in folders:
        raise BadInput(f"the cache has no kind {kind!r}", do=[f"one of: {', '.join(folders) or 'it is empty'}"])
    names = _names_in_locks()
    seen: set[tuple[int, int]] = set()
    found = []
    for each, folder in folders.items():
        if not kind or each == kind:
            found += sorted(_entries(each, folder, names, seen), key=lambda entry: -entry.used)
    return found


def _kinds() -> Iterator[tuple[str, Path]]:
    root = cache_root()
    for folder in [*_folders(root), *_folders(root / STORE)]:
        if folder != root / STORE:
            yield str(folder.relative_to(root)), folder


def _folders(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return []


def _entries(kind: str, folder: Path, names: dict[str, str], seen: set[tuple[int, int]]) -> Iterator[Entry]:
    for path in sorted(folder.iterdir()):
        if (path.suffix == ".lock" or path.name.startswith(GUARD)) and path.is_file():
            continue  # a guard: whoever makes the entry beside it holds it
        partial = any(mark in path.name for mark in UNFINISHED) or (path.name.startswith(FETCHING) and path.is_dir())
        size, used = _size_and_use(path, seen, whole=partial)
        yield Entry(kind=kind, path=path, size=size, used=used, users=_users(path, names), partial=partial)


def _size_and_use(path: Path, seen: set[tuple[int, int]], *, whole: bool) -> tuple[int, float]:
    """Bytes, and the last time that it was made or found: an environment's lock.json says it, else the entry itself;
    with `whole`, whatever in it was written last."""
    size, written = 0, 0.0
    for each in [path, *(Path(base, name) for base, _, files in os.walk(path) for name in files)]:
        with suppress(OSError):
            status = each.lstat()
            written = max(written, status.st_mtime) if whole else 0.0
            if (status.st_dev, status.st_ino) not in seen and not each.is_dir():
                seen.add((status.st_dev, status.st_ino))
                size += status.st_size
    if whole:
        return size, written
    stamp = path / "lock.json"
    with suppress(OSError):
        return size, (stamp if stamp.is_file() else path).stat().st_mtime
    return size, 0.0


def _names_in_locks() -> dict[str, str]:
    """Every hash that a kept lock stands for or names -> that lock's name."""
    found: dict[str, str] = {}
    for path in sorted((cache_root() / "locks").glob("*.json")):
        with suppress(OSError, UnicodeDecodeError, BadInput):
            kept = lock.parse(path.read_text(encoding="utf-8"))
            hashes = [kept.digest, kept.digest[:24], *(package.sha256 for package in kept.packages)]
            for each in hashes:
                found[each] = f"{found[each]} {path.stem}" if each in found else path.stem
    return found


def _users(path: Path, names: dict[str, str]) -> tuple[str, ...]:
    found = HASH.match(path.name)
    return tuple(dict.fromkeys(names.get(found[1], "").split())) if found else ()


# --- prune


def prune(
    seconds: float, keep: int, kind: str, *, dry_run: bool, say: Callable[[str], None]
) -> tuple[list[Entry], list[Entry]]:
    """What was (with `dry_run`: would be) removed, and what had to stay because somebody is making it.

    Entries that nobody used for `seconds`, without the `keep` last used of each kind; and what was never finished and
    has not been written to for a day.
    """
    old: list[Entry] = []
    busy: list[Entry] = []
    rank: dict[str, int] = {}
    for entry in entries(kind):
        rank[entry.kind] = rank.get(entry.kind, 0) + (not entry.partial)
        aged = time.time() - entry.used >= (min(seconds, DAY) if entry.partial else seconds)
        if not (aged and (entry.partial or rank[entry.kind] > keep)):
            continue
        if not dry_run and rank.get(f"said {entry.kind}") is None:
            rank[f"said {entry.kind}"] = 1
            say(f"removing {entry.kind}")
        removed = dry_run or remove(entry)
        (old if removed else busy).append(entry)
    return old, busy


def remove(entry: Entry) -> bool:
    """Take an entry away, whole: it has another name before its first file goes. False where somebody is making it."""
    from filelock import FileLock, Timeout

    name, mark, key = entry.name.partition(".partial-")
    guard = entry.path.with_name(f"{name}.lock" if name or not mark else f"{GUARD}{key}")
    try:
        with FileLock(guard, timeout=0) if guard.exists() else nullcontext():
            _take_away(entry.path)
    except Timeout:
        return False
    except OSError as error:
        because = [Reason(text=str(error))]
        raise HostLacks(f"cannot remove {entry.path}", because=because, do=["remove it as its owner"]) from error
    return True


def _take_away(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        hidden = path.with_name(f"{HIDDEN}{os.getpid()}-{path.name}"[:200])
        path.rename(hidden)
        for base, _, _ in os.walk(hidden):  # trees are kept read-only; a folder is entered after this one was named
            for folder in [Path(base), *(path for path in Path(base).iterdir() if path.is_dir())]:
                if not folder.is_symlink():
                    folder.chmod(0o700)
        shutil.rmtree(hidden)
    else:
        path.unlink()


# --- verify


def verify(kind: str, *, say: Callable[[str], None]) -> tuple[list[tuple[Entry, str]], int, int]:
    """What was corrupt and why (it is removed, so that it is made again), how many were checked, how many cannot be."""
    from envctl.workflow import cache_check

    corrupt, checked, unchecked, last = [], 0, 0, ""
    for entry in entries(kind):
        if entry.kind != last:
            say(f"checking {entry.kind}")
            last = entry.kind
        why = cache_check.why_corrupt(entry.kind, entry.path)
        if why is None:
            unchecked += 1
            continue
        checked += 1
        if why and remove(entry):
            corrupt.append((entry, why))
    return corrupt, checked, unchecked
