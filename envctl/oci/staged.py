"""The environment of an image as a folder, file by file the same, to be mounted read-only where an image has it.

Each wheel is unpacked once (store/trees); an environment is made of links to those files, so that it costs neither
time nor space. Times are 0 as in images; owners are the caller.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    with ThreadPoolExecutor(2) as pool:
        packages = contents.lock.packages
        trees = list(pool.map(lambda package: tree(package, contents), packages))
    folders = {""}
    for package, root in zip(packages, trees, strict=True):
        entries = contents.of((package,), last=False)
        _link(with_folders(entries), root, into, folders)
    _write(with_folders(contents.skeleton), into, folders)
    into.chmod(FOLDER)
    for folder in sorted(folders, reverse=True):
        os.utime(into / folder, (0, 0))


def tree(package: LockedPackage, contents: Contents) -> Path:
    """The unpacked wheel, made when it is not there."""
    key = Part(Group(packages=(package,)), contents).key
    root = place("trees", key)
    if not root.is_dir():
        entries = contents.of((package,), last=False)
        with new_folder(root) as partial:
            _write(with_folders(entries), partial, {""})
    return root


def _link(entries: list[Entry], root: Path, into: Path, folders: set[str]) -> None:
    """Link a tree's files; a path that another wheel brought, with equal bytes, is there already."""
    start, to = f"{root}/", f"{into}/"
    for entry in entries:
        if entry.kind == "folder":
            _folder(entry, into, folders)
            continue
        try:
            os.link(start + entry.path, to + entry.path, follow_symlinks=False)
        except FileExistsError:
            continue


def _folder(entry: Entry, into: Path, folders: set[str]) -> None:
    if entry.path not in folders:
        folders.add(entry.path)
        path = into / entry.path
        path.mkdir(exist_ok=True)
        path.chmod(entry.mode)


def _write(entries: list[Entry], into: Path, folders: set[str]) -> None:
    """Write entries as files; what RECORD says of them is checked."""
    with Archives() as archives:
        for entry in entries:
            path = into / entry.path
            if entry.kind == "folder":
                _folder(entry, into, folders)
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
