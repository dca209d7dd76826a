"""The files of an environment as an image, a container's mount or a folder has them: path -> (kind, mode, content)."""

from __future__ import annotations

import hashlib
import stat
import tarfile
from pathlib import Path
from typing import Any

Tree = dict[str, tuple[str, int, str]]
PREFIX = "opt/env"


def of_image(name: str, below: str = PREFIX) -> Tree:
    """What a container of the image would see below the prefix; the daemon says it."""
    import docker

    client = docker.from_env(timeout=120)
    container = client.containers.create(name, "true", network_mode="none")
    try:
        return of_tar(_Chunks(container.export()), below)
    finally:
        container.remove(force=True)


def of_tar(stream: Any, below: str = PREFIX) -> Tree:
    """The files of a tar below a folder."""
    found: Tree = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            name = member.name.removeprefix("./").rstrip("/")
            if name == below or name.startswith(f"{below}/"):
                found[name.removeprefix(below).strip("/")] = _of_member(archive, member)
    return found


def _of_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[str, int, str]:
    if member.issym():
        return "link", 0, member.linkname
    if member.isdir():
        return "folder", member.mode & 0o7777, ""
    stream = archive.extractfile(member)
    assert stream, member.name
    return "file", member.mode & 0o7777, hashlib.sha256(stream.read()).hexdigest()


def of_folder(root: Path) -> Tree:
    """The files of a folder."""
    return {str(path.relative_to(root)) if path != root else "": _of_path(path) for path in [root, *root.rglob("*")]}


def _of_path(path: Path) -> tuple[str, int, str]:
    mode = stat.S_IMODE(path.lstat().st_mode)
    if path.is_symlink():
        return "link", 0, str(path.readlink())
    if path.is_dir():
        return "folder", mode, ""
    return "file", mode, hashlib.sha256(path.read_bytes()).hexdigest()


def differences(one: Tree, other: Tree) -> list[str]:
    """The paths that are not the same in both, each with what it is there."""
    return [
        f"{path}: {one.get(path)} / {other.get(path)}"
        for path in sorted(one | other)
        if one.get(path) != other.get(path)
    ]


class _Chunks:
    """Blocks as a file that can be read."""

    def __init__(self, blocks: Any) -> None:
        self.blocks, self.rest = iter(blocks), b""

    def read(self, size: int) -> bytes:
        parts = [self.rest]
        have = len(self.rest)
        while have < size and (block := next(self.blocks, b"")):
            parts.append(block)
            have += len(block)
        data = b"".join(parts)
        self.rest = data[size:]
        return data[:size]
