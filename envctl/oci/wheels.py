"""The wheels of a lock, as verified files of the store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from envctl.aliases import Indexes
from envctl.download import fetch, from_folders
from envctl.lock import Lock
from envctl.oci.store import checked, new_file, place
from envctl.package import LockedPackage
from envctl.tree import disk_errors


def path_of(package: LockedPackage) -> Path:
    """Where a wheel is kept."""
    return place("wheels", f"{package.sha256}.whl")


def bring(
    lock: Lock, indexes: Indexes, folders: tuple[Path, ...], *, offline: bool, say: Callable[[str], None]
) -> dict[str, Path]:
    """Every wheel of the lock by its hash: kept ones, those that lie in the folders, and what the indexes have."""
    for package, path in from_folders(missing(lock), folders):
        _copy(package, path)
    wanted = missing(lock)
    if wanted:
        scratch = place("wheels", "")
        with disk_errors(scratch):
            scratch.mkdir(parents=True, exist_ok=True)
        fetch(wanted, lock.python, lock.platform, indexes, _move, scratch=scratch, offline=offline, say=say)
    return {each.sha256: whole(each) for each in lock.packages}


def whole(package: LockedPackage) -> Path:
    """A kept wheel that has its hash; raises `HostLacks` for one that was damaged."""
    return checked(path_of(package), package.sha256, f"the wheel {package.file}")


def named(package: LockedPackage) -> Path:
    """A folder that holds the kept wheel alone, under its own name: uv reads what a wheel is from that.

    The folder is the same each time, so that uv unpacks a wheel once for all environments.
    """
    path, folder = whole(package), place("named", package.sha256)
    link = folder / package.file
    if not link.is_symlink():
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another envctl was faster
                link.symlink_to(os.path.relpath(path, folder))
    return folder


def missing(lock: Lock) -> list[LockedPackage]:
    """The wheels that are not kept."""
    return [package for package in lock.packages if not path_of(package).is_file()]


def _copy(package: LockedPackage, path: Path) -> None:
    with new_file(path_of(package)) as partial:
        shutil.copyfile(path, partial)
        checked(partial, package.sha256, f"the wheel {package.file}")


def _move(package: LockedPackage, path: Path) -> None:
    """Give a fetched file, on the same disk and checked, its final name."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    path.chmod(0o644)
    path.replace(path_of(package))
