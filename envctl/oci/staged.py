"""The environment of an image as a folder, file by file the same, to be mounted read-only where an image has it.

Each wheel is unpacked once (store/trees); an environment is made of links to those files, so that it costs no space. A
large folder that one wheel alone has is not linked file by file (50 us each): it is left empty, and the wheel's own is
mounted over it. Times are 0 as in images; owners are the caller.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import new as new_hash
from pathlib import Path

from envctl.oci.contents import Contents
from envctl.oci.entry import FOLDER, Entry, with_folders
from envctl.oci.layer import Group, Part
from envctl.oci.store import new_folder, place
from envctl.oci.stream import Archives, unlike_record
from envctl.oci.wheel import Packed, inflated
from envctl.package import LockedPackage

LARGE = 50  # files in a folder for which a mount (1.2 ms) costs less than links


def stage(contents: Contents, into: Path) -> dict[str, str]:
    """Fill a new folder with the environment's files; the folders that are left empty, each with the name of the tree
    whose folder of that path is to be mounted over it."""
    contents.check()
    folders = {""}
    trees = _trees(contents)
    parts = _parts(contents, trees)
    for root in trees.values():
        _link(root, into, folders, parts)
    _write(with_folders(contents.skeleton), into, folders)
    into.chmod(FOLDER)
    _as_old_as_an_image(into, folders)
    return parts


def _parts(contents: Contents, trees: dict[LockedPackage, Path]) -> dict[str, str]:
    """The large folders in site-packages that one wheel alone fills: path below the prefix -> the tree's name."""
    below = f"{contents.place.library}/"
    counts = {package: _by_folder(names, below) for package, names in contents.names.items()}
    owners = Counter(folder for each in counts.values() for folder in each)
    return {
        folder: trees[package].name
        for package, each in counts.items()
        for folder, files in each.items()
        if files >= LARGE and owners[folder] == 1
    }


def _by_folder(names: list[str], below: str) -> Counter[str]:
    """How many files are in each of the packages right below."""
    inside = (name[len(below) :].partition("/") for name in names if name.startswith(below))
    return Counter(f"{below}{folder}" for folder, slash, _ in inside if slash and not folder.endswith(".dist-info"))


def _as_old_as_an_image(root: Path, folders: set[str]) -> None:
    for folder in sorted(folders, reverse=True):
        os.utime(f"{root}/{folder}", (0, 0))


def _trees(contents: Contents) -> dict[LockedPackage, Path]:
    """The unpacked wheels; those that are not there are made, two at a time."""
    packages = contents.lock.packages
    trees = {package: place("trees", Part(Group(packages=(package,)), contents).key) for package in packages}
    missing = [package for package, root in trees.items() if not root.is_dir()]
    if missing:
        assert contents.bytecode  # the compiler works from here on
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda package: _tree(package, trees[package], contents), missing))
    return trees


def _tree(package: LockedPackage, root: Path, contents: Contents) -> None:
    """Unpack a wheel."""
    entries = contents.of((package,), last=False)
    folders = {""}
    with new_folder(root) as partial:
        _write(with_folders(entries), partial, folders)
        _as_old_as_an_image(partial, folders)


def _link(root: Path, into: Path, folders: set[str], parts: dict[str, str], below: str = "") -> None:
    """Link a tree's files; a path that another wheel brought, with equal bytes, is there already."""
    with os.scandir(f"{root}/{below}") as found:
        for each in found:
            path = f"{below}{each.name}"
            if each.is_dir(follow_symlinks=False):
                _folder(path, FOLDER, into, folders)
                if path not in parts:
                    _link(root, into, folders, parts, f"{path}/")
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
