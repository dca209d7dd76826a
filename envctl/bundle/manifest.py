"""What a bundle holds: `bundle.json`, canonical, with neither time nor host in it; the same content is the same bytes.

DIR/bundle.json   what is here; written last, so that without it a bundle is not whole
DIR/SHA256SUMS    the hash of every file as it lies here, for `sha256sum -c`
DIR/install.sh    for a machine with nothing but a CPython (install.py does the work)
DIR/wheels/       every wheel once, for environments and for envctl itself
DIR/locks/        the lock files; answers/ those environments under the question that they answer
DIR/own/          hash-pinned requirements of envctl, one file a Python and architecture
DIR/oci/          OCI layout: the bases, and the images, every blob once
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from envctl.errors import BadInput, Reason
from envctl.tree import canonical_json

FORMAT = 1
KIND = "envctl bundle"
NAME, SUMS, UNFINISHED = "bundle.json", "SHA256SUMS", ".unfinished"
FOLDERS = ("wheels", "locks", "answers", "own", "oci")
SAFE = re.compile(r"(?!\.)[\w.+!=@-]+(/(?!\.)[\w.+!=@-]+)*", re.ASCII)
HEX = re.compile(r"[0-9a-f]{64}")
ROLES = ("wheel", "own", "lock", "answer", "oci", "install")
Entry = TypeVar("Entry")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A file as it lies in the bundle: where (relative), its size in bytes, its hash."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A file that the bundle brings, what it is for, and the parts it was cut into (none: it lies there whole)."""

    path: str
    size: int
    sha256: str
    roles: tuple[str, ...]
    parts: tuple[Part, ...] = ()

    @property
    def lying(self) -> tuple[Part, ...]:
        """What really lies in the bundle for it."""
        return self.parts or (Part(path=self.path, size=self.size, sha256=self.sha256),)


@dataclass(frozen=True, kw_only=True, slots=True)
class Own:
    """envctl itself for one Python and architecture: its requirements, and the paths of the wheels that meet them."""

    python: str
    arch: str
    requirements: str
    wheels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A base or an image of the layout in `oci/`: its manifest's digest, all its blobs, its names in Docker."""

    kind: str
    digest: str
    blobs: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The whole document. `locks` are the paths of the lock files, `envctl` is the version of the program inside."""

    envctl: str
    locks: tuple[str, ...]
    own: tuple[Own, ...]
    pictures: tuple[Picture, ...]
    files: tuple[File, ...]

    def text(self) -> str:
        """The document as canonical JSON."""
        return canonical_json({"kind": KIND, "format": FORMAT, **asdict(self)})

    @property
    def digest(self) -> str:
        """The SHA-256 of the text: it stands for every byte of the bundle."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    @property
    def lying(self) -> tuple[Part, ...]:
        """Everything that lies in the bundle beside bundle.json and SHA256SUMS, sorted by path."""
        return tuple(sorted((part for file in self.files for part in file.lying), key=lambda part: part.path))

    def sums(self) -> str:
        """The hashes as `sha256sum -c` reads them."""
        lines = [f"{part.sha256}  {part.path}\n" for part in self.lying]
        return "".join([*lines, f"{self.digest}  {NAME}\n"])

    def of(self, role: str) -> tuple[File, ...]:
        """The files with that role."""
        return tuple(file for file in self.files if role in file.roles)


def load(folder: Path) -> Manifest:
    """The manifest of a bundle; raises `BadInput` where there is none, or one that was not finished or was damaged."""
    path = folder / NAME
    do = ["carry it over again", f"see what is wrong: cd {folder} && sha256sum -c {SUMS}"]
    if not path.is_file():
        raise _not_whole(folder)
    try:
        text = path.read_bytes().decode("utf-8")
        found = _parsed(json.loads(text), str(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        because = [Reason(text=f"{type(error).__name__}: {error}", source=str(path))]
        raise BadInput(f"{folder} is not a whole bundle", because=because, do=do) from error
    if found.text() != text:
        raise BadInput(f"{path} was changed after it was written", do=do)
    return found


def _not_whole(folder: Path) -> BadInput:
    """The error for a folder without a manifest."""
    why, do = f"it has no {NAME}", "name the folder that envctl bundle wrote"
    if (folder / UNFINISHED).exists():
        why, do = "it was not finished", "finish it: the same `envctl bundle` again"
    return BadInput(f"{folder} is not a whole bundle", because=[Reason(text=why)], do=[do])


def _parsed(data: dict[str, Any], source: str) -> Manifest:
    if data["kind"] != KIND:
        raise ValueError(f"no {KIND!r}")
    if data["format"] != FORMAT:
        what = f"{source} has format {data['format']}; this envctl reads format {FORMAT}"
        raise BadInput(what, do=["use the envctl that it brings: install.sh"])
    found = Manifest(
        envctl=str(data["envctl"]),
        locks=_each(data["locks"], _path),
        own=_each(data["own"], _own),
        pictures=_each(data["pictures"], _picture),
        files=_each(data["files"], _file),
    )
    paths = [file.path for file in found.files] + [part.path for file in found.files for part in file.parts]
    if len(paths) != len(set(paths)) or {NAME, SUMS} & set(paths):
        raise ValueError("a path stands there twice")
    return found


def _own(data: dict[str, Any]) -> Own:
    wheels = _each(data["wheels"], _path)
    plain = {"python": str(data["python"]), "arch": str(data["arch"])}
    return Own(**plain, requirements=_path(data["requirements"]), wheels=wheels)


def _picture(data: dict[str, Any]) -> Picture:
    blobs = _each(data["blobs"], _hash)
    if data["kind"] not in ("base", "image"):
        raise ValueError(f"picture of kind {data['kind']!r}")
    return Picture(kind=data["kind"], digest=_hash(data["digest"]), blobs=blobs, names=_each(data["names"], str))


def _file(data: dict[str, Any]) -> File:
    roles, parts = _each(data["roles"], str), _each(data["parts"], _part)
    if set(roles) - set(ROLES) or (parts and sum(part.size for part in parts) != data["size"]):
        raise ValueError(f"roles or parts of {data['path']}")
    return File(
        path=_path(data["path"]), size=_size(data["size"]), sha256=_hash(data["sha256"]), roles=roles, parts=parts
    )


def _part(data: dict[str, Any]) -> Part:
    return Part(path=_path(data["path"]), size=_size(data["size"]), sha256=_hash(data["sha256"]))


def _path(value: Any) -> str:
    """A path below the bundle; whoever wrote it, nothing outside is read or written."""
    if not isinstance(value, str) or not SAFE.fullmatch(value):
        raise ValueError(f"path {value!r}")
    return value


def _hash(value: Any) -> str:
    if not isinstance(value, str) or not HEX.fullmatch(value):
        raise ValueError(f"hash {value!r}")
    return value


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"size {value!r}")
    return value


def _each(values: Any, read: Callable[[Any], Entry]) -> tuple[Entry, ...]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is not a list")
    return tuple(read(value) for value in values)
