"""The environment of an image as a folder, file by file the same, to be mounted read-only where an image has it.

Each wheel is unpacked once (store/trees); an environment is made of links to those files, so that it costs neither
time nor space. Times are 0 as in images; owners are the caller.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import new as new_hash
from pathlib import Path

from envctl.index import LockedPackage
from envctl.oci.contents import Contents
from envctl.oci.entry import FOLDER, Entry, with_folders
from envctl.oci.layer import Group, Part
from envctl.oci.store import new_folder, place
from envctl.oci.stream import Archives, unlike_record
from envctl.oci.wheel import Packed, inflated


def stage(contents: Contents, into: Path) -> None:
    """Fill a new folder with the environment's files."""
    contents.check()
    folders = {""}
    for root in _trees(contents):
        _link(root, into, folders)
    _write(with_folders(contents.skeleton), into, folders)
    into.chmod(FOLDER)
    for folder in sorted(folders, reverse=True):
        os.utime(f"{into}/{folder}", (0, 0))


def _trees(contents: Contents) -> list[Path]:
    """The unpacked wheels; those that are not there are made, two at a time."""
    packages = contents.lock.packages
    roots = [place("trees", Part(Group(packages=(package,)), contents).key) for package in packages]
    missing = [(package, root) for package, root in zip(packages, roots, strict=True) if not root.is_dir()]
    if missing:
        assert contents.bytecode  # the compiler works from here on
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda each: _tree(each[0], each[1], contents), missing))
    return roots


def _tree(package: LockedPackage, root: Path, contents: Contents) -> None:
    """Unpack a wheel."""
    entries = contents.of((package,), last=False)
    with new_folder(root) as partial:
        _write(with_folders(entries), partial, {""})


def _link(root: Path, into: Path, folders: set[str], below: str = "") -> None:
    """Link a tree's files; a path that another wheel brought, with equal bytes, is there already."""
    with os.scandir(f"{root}/{below}") as found:
        for each in found:
            path = f"{below}{each.name}"
            if each.is_dir(follow_symlinks=False):
                _folder(path, FOLDER, into, folders)
                _link(root, into, folders, f"{path}/")
                continue
            try:
                os.link(each.path, f"{into}/{path}", follow_symlinks=False)
            except FileExistsError:
                continue


def _folder(name: str, mode: int, into: Path, folders: set[str]) -> None:
    if name not in folders:
        folders.add(name)
        path = f"{into}/{name}"
        with suppress(FileExistsError):
            os.mkdir(path)  # noqa: PTH102  # thousands of them: Path objects would take as long as the kernel
        os.chmod(path, mode)  # noqa: PTH101


def _write(entries: list[Entry], into: Path, folders: set[str]) -> None:
    """Write entries as files; what RECORD says of them is checked."""
    with Archives() as archives:
        for entry in entries:
            path = into / entry.path
            if entry.kind == "folder":
                _folder(entry.path, entry.mode, into, folders)
            elif entry.kind == "link":
                path.symlink_to(entry.target)
                os.utime(path, (0, 0), follow_symlinks=False)
            else:
                with path.open("wb") as stream:
                    for block in _bytes(entry, archives):
                        stream.write(block)
                    os.fchmod(stream.fileno(), entry.mode)
                os.utime(path, (0, 0))


def _bytes(entry: Entry, archives: Archives) -> Iterator[bytes]:
    if not isinstance(entry.data, Packed):
        yield entry.data
        return
    digest = new_hash(entry.hash.algorithm) if entry.hash else None
    for block in inflated(archives.at(entry.data.archive), entry.data, entry.owner):
        if digest:
            digest.update(block)
        yield block
    if digest and entry.hash and urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() != entry.hash.digest:
        raise unlike_record(entry)
