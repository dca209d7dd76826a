"""The files of an environment as an image or a container's mounts have them: path -> (kind, mode, content)."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
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


def of_mounts(image: str, mounts: list[tuple[str, str]]) -> Tree:
    """What a container of an image sees below the prefix with these mounts (path here, path inside)."""
    flags = [part for here, target in mounts for part in ("-v", f"{here}:{target}:ro")]
    script = f"import sys, tarfile; tarfile.open(fileobj=sys.stdout.buffer, mode='w|').add('/{PREFIX}', '{PREFIX}')"
    command = ["docker", "run", "--rm", "--network", "none", "--read-only", *flags, image, "python3.11", "-c", script]
    return of_tar(io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout))


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
