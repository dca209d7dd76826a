"""What stands in an image's layers: its CPythons, its Debian packages, and how long each layer's tar is.

Every layer is read once; on the way its tar is checked against the digest that the configuration gives.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from envctl.errors import BadInput, JobFailed, Reason
from envctl.oci.blobs import BLOCK
from envctl.oci.content import Layer
from envctl.oci.debian import installed, tells_packages
from envctl.oci.surveyed import Interpreter, Survey

PYTHON = re.compile(r"(.*/)?(bin/python3(\.\d+)?|lib[^/]*/(.*/)?libpython3\.\d+\.so(\.[\d.]+)?)")
# CPython's PY_VERSION is a string constant of the file that holds the compiler: the program, or its shared library
VERSION = re.compile(rb"\0(3\.\d+\.\d+)\+?\0")
USUAL_PATH = "/usr/local/bin:/usr/bin:/bin"
MOST_LINKS = 40


@dataclass(kw_only=True, slots=True)
class _Tree:
    """The few paths that matter, as the layers seen so far leave them."""

    links: dict[str, str] = field(default_factory=dict)
    pythons: dict[str, tuple[str, str]] = field(default_factory=dict)  # path -> version (or ""), SHA-256
    status: dict[str, str] = field(default_factory=dict)
    folders: dict[str, None] = field(default_factory=dict)


def survey(layers: tuple[Layer, ...], config: dict[str, Any]) -> Survey:
    """Read all layers. Raises `JobFailed` when a tar is not the one that its diff_id names."""
    tree, sizes = _Tree(), {}
    for layer in layers:
        stream = TarStream(layer.tar())
        for member, content in members(stream):
            _note(tree, member, content)
        sizes[layer.diff_id] = stream.finish(layer.diff_id)
    return Survey(
        interpreters=tuple(_interpreters(tree, config)),
        packages=installed(tree.status),
        folders=tuple(sorted(tree.folders)),
        tar_sizes=sizes,
    )


class TarStream:
    """A file to read from over chunks; counts and hashes what passes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, memoryview(b"")
        self._digest, self.size = hashlib.sha256(), 0

    def read(self, count: int) -> bytes:
        """The next bytes; fewer than `count` at the end only."""
        parts: list[memoryview] = []
        while count:
            if not self._rest and not self._next():
                break
            part, self._rest = self._rest[:count], self._rest[count:]
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _next(self) -> bool:
        for chunk in self._chunks:
            if chunk:
                self._digest.update(chunk)
                self.size += len(chunk)
                self._rest = memoryview(chunk)
                return True
        return False

    def finish(self, diff_id: str) -> int:
        """The size of the whole; raises `JobFailed` when its digest is another."""
        while self._next():
            pass
        found = f"sha256:{self._digest.hexdigest()}"
        if found != diff_id:
            because = [Reason(text=f"the configuration says {diff_id}"), Reason(text=f"the layer's tar has {found}")]
            raise JobFailed("a layer is not the one that its image names", because=because)
        return self.size


def members(stream: TarStream) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Every member of a tar with its bytes, which are there until the next one is asked for."""
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as archive:  # type: ignore[call-overload]
            for member in archive:
                yield member, archive.extractfile(member) if member.isreg() else None
                archive.members = []  # or it would keep them all
    except tarfile.TarError as error:
        raise BadInput("a layer is no tar", because=[Reason(text=str(error))]) from None


def path_of(name: str) -> str:
    """A member's path without leading `./` and slashes; "" for the root."""
    return posixpath.normpath(f"/{name}").lstrip("/")


def _note(tree: _Tree, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
    path = path_of(member.name)
    folder, name = posixpath.split(path)
    if name == ".wh..wh..opq":
        _forget(tree, folder, itself=False)
    elif name.startswith(".wh."):
        _forget(tree, posixpath.join(folder, name[4:]), itself=True)
    elif member.issym():
        tree.pythons.pop(path, None)
        tree.links[path] = member.linkname
    elif member.islnk() and PYTHON.fullmatch(path):
        tree.links[path] = f"/{path_of(member.linkname)}"
    elif member.isdir() and path and "/" not in path:
        tree.folders[path] = None
    elif content and tells_packages(path):
        tree.status[path] = content.read().decode(errors="replace")
    elif content and PYTHON.fullmatch(path):
        tree.links.pop(path, None)
        tree.pythons[path] = _version_and_digest(content)


def _forget(tree: _Tree, path: str, *, itself: bool) -> None:
    known: dict[str, Any]
    for known in (tree.links, tree.pythons, tree.status, tree.folders):
        for each in [each for each in known if each.startswith(f"{path}/") or (itself and each == path)]:
            known.pop(each)


def _version_and_digest(content: IO[bytes]) -> tuple[str, str]:
    digest, tail, version = hashlib.sha256(), b"", ""
    while block := content.read(BLOCK):
        digest.update(block)
        found = VERSION.search(tail + block)
        version = version or (found[1].decode() if found else "")
        tail = block[-32:]
    return version, digest.hexdigest()


def _interpreters(tree: _Tree, config: dict[str, Any]) -> Iterator[Interpreter]:
    """Every CPython in the folders of the image's PATH, in their order, each minor version once."""
    variables = (config.get("config") or {}).get("Env") or []
    search = next((each[5:] for each in variables if each.startswith("PATH=")), USUAL_PATH)
    seen = set()
    for folder in [_resolved(tree, each) for each in search.split(":")]:
        for path in _programs(tree, folder):
            version, digest = _with_version(tree, path) if path in tree.pythons else ("", "")
            home = posixpath.dirname(path)
            found = Interpreter(version=version, sha256=digest, home=f"/{home}")
            # an environment's link names its minor version: that name must be there
            if version and found.minor not in seen and f"{home}/python{found.minor}" in (*tree.pythons, *tree.links):
                seen.add(found.minor)
                yield found


def _programs(tree: _Tree, folder: str) -> list[str]:
    """The programs in a folder whose names are a CPython's, links followed; `python3` first, then the newest."""
    named = [path for path in (*tree.pythons, *tree.links) if posixpath.dirname(path) == folder]
    names = [posixpath.basename(path) for path in named if PYTHON.fullmatch(path)]
    ranked = sorted(names, key=lambda name: (name != "python3", [-int(part) for part in name.split(".")[1:]], name))
    return [_resolved(tree, f"{folder}/{name}") for name in ranked if name.startswith("python3")]


def _with_version(tree: _Tree, path: str) -> tuple[str, str]:
    version, digest = tree.pythons[path]
    if version:
        return version, digest
    name = f"lib{posixpath.basename(path)}.so"
    libraries = (found for each, found in sorted(tree.pythons.items()) if posixpath.basename(each).startswith(name))
    return next((found for found in libraries if found[0]), ("", digest))


def _resolved(tree: _Tree, path: str) -> str:
    """A path with every link on its way followed."""
    todo, done = [part for part in path.split("/") if part][::-1], ""
    for _ in range(MOST_LINKS * 4):
        if not todo:
            break
        part = todo.pop()
        here = posixpath.dirname(done) if part == ".." else posixpath.join(done, part)
        if here not in tree.links:
            done = here
            continue
        target = tree.links[here]
        done = "" if target.startswith("/") else done
        todo += [each for each in target.split("/") if each not in ("", ".")][::-1]
    return done
