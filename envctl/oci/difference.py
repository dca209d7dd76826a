"""The first difference of two images: a field of the configuration, a layer, a file in a layer.

Layers are read as streams; of an expected layer only a line for each file is kept.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import IO, Any, Literal

from envctl.oci.blobs import BLOCK
from envctl.oci.content import Image, Layer
from envctl.oci.survey import TarStream, members, path_of

Kind = Literal["config", "layer", "file", "tar", "blob", "manifest"]
Change = Literal["missing", "extra", "changed"]
MISSING = "nothing"
LINKS = {tarfile.SYMTYPE: "symbolic link", tarfile.LNKTYPE: "hard link", tarfile.DIRTYPE: "folder"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What differs first, in the order configuration, layers from the base up, files by path, compression.

    `where` is a configuration's field or a file's path; `layer` counts from 0 (-1: none); `what` is a file's attribute.
    """

    kind: Kind
    change: Change
    where: str = ""
    layer: int = -1
    what: str = ""
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        place = {
            "config": f"configuration: {self.where}",
            "layer": f"layer {self.layer}",
            "file": f"layer {self.layer}: {self.where}",
            "tar": f"layer {self.layer}: the same files in another tar",
            "blob": f"layer {self.layer}: the same tar, packed otherwise",
            "manifest": "the manifests differ, the configuration and layers do not",
        }[self.kind]
        word = "" if self.change == "changed" else f" is {self.change}"
        word = f" {self.what}" if self.what else word
        return f"{place}{word}: expected {self.expected or MISSING}, found {self.found or MISSING}"

    def as_data(self) -> dict[str, Any]:
        """The same for `--json`."""
        return {**asdict(self), "text": str(self)}


def first_difference(expected: Image, found: Image, *, blobs: bool = True) -> Difference | None:
    """The first difference; None when there is none.

    `blobs=False` leaves out how layers are packed: a daemon's classic store unpacks them, and pushes them anew.
    """
    return (
        _configs(expected.config, found.config)
        or _layers(expected.layers, found.layers)
        or (_packing(expected, found) if blobs else None)
    )


def _configs(expected: bytes, found: bytes) -> Difference | None:
    """The first field that differs, but for the layers' digests: what differs in layers is named by its file."""
    ours, theirs = json.loads(expected), json.loads(found)
    for path, left, right in _fields(ours, theirs, ""):
        if not path.startswith("rootfs.diff_ids"):
            return Difference(kind="config", change=_change(left, right), where=path, expected=left, found=right)
    if expected != found and ours == theirs:
        return Difference(kind="config", change="changed", where="the same data in other bytes")
    return None


def _fields(left: Any, right: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Every leaf that differs, by path: (path, what the left has, what the right has), "" for nothing."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            here = f"{path}.{key}" if path else key
            yield from _fields(left.get(key, _Absent), right.get(key, _Absent), here)
    elif isinstance(left, list) and isinstance(right, list):
        for index, (one, other) in enumerate(zip_longest(left, right, fillvalue=_Absent)):
            yield from _fields(one, other, f"{path}[{index}]")
    elif left != right:
        yield path, _shown(left), _shown(right)


class _Absent:
    """Stands where one side has nothing; null is something."""


def _shown(value: Any) -> str:
    return "" if value is _Absent else json.dumps(value, sort_keys=True)[:200]


def _change(left: object, right: object) -> Change:
    return "changed" if left and right else "missing" if left else "extra"


def _layers(expected: tuple[Layer, ...], found: tuple[Layer, ...]) -> Difference | None:
    for number, (ours, theirs) in enumerate(zip_longest(expected, found)):
        if ours is None or theirs is None:
            left, right = (ours.diff_id if ours else ""), (theirs.diff_id if theirs else "")
            return Difference(kind="layer", change=_change(left, right), layer=number, expected=left, found=right)
        if ours.diff_id != theirs.diff_id:
            return _files(number, ours, theirs)
    return None


def _files(number: int, ours: Layer, theirs: Layer) -> Difference:
    """The first path, bytewise, at which two layers differ; or that only their tars do."""
    left, right = dict(_entries(ours)), dict(_entries(theirs))
    for path in sorted(left.keys() | right.keys(), key=_bytes):
        if left.get(path) == right.get(path):
            continue
        if path not in left or path not in right:
            one, other = (_word(left[path]) if path in left else ""), (_word(right[path]) if path in right else "")
            return Difference(
                kind="file", change=_change(one, other), where=path, layer=number, expected=one, found=other
            )  # fmt: skip
        what, one, other = _attribute(left[path], right[path])
        return Difference(
            kind="file", change="changed", where=path, layer=number, what=what, expected=one, found=other
        )  # fmt: skip
    return Difference(kind="tar", change="changed", layer=number, expected=ours.diff_id, found=theirs.diff_id)


def _entries(layer: Layer) -> Iterator[tuple[str, dict[str, str]]]:
    """Path and attributes of every member. Raises `JobFailed` when the tar is not that of the diff_id."""
    stream = TarStream(layer.tar())
    for member, content in members(stream):
        yield path_of(member.name) or "/", _attributes(member, content)
    stream.finish(layer.diff_id)


def _attributes(member: tarfile.TarInfo, content: IO[bytes] | None) -> dict[str, str]:
    extended = {f"attribute {key}": value for key, value in member.pax_headers.items() if key.startswith("SCHILY.")}
    return {
        "type": "file" if member.isreg() else LINKS.get(member.type, "device"),
        "target": member.linkname,
        "mode": f"{member.mode:04o}",
        "owner": f"{member.uid}:{member.gid} {member.uname}:{member.gname}",
        "time": str(member.mtime),
        "size": f"{member.size} bytes",
        "content": _sha256(content) if content else "",
        "device": f"{member.devmajor}:{member.devminor}",
        **extended,
    }


def _sha256(content: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := content.read(BLOCK):
        digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _attribute(left: dict[str, str], right: dict[str, str]) -> tuple[str, str, str]:
    """The attribute in which two entries of a path differ, and both values."""
    name = next(name for name in [*left, *right] if left.get(name) != right.get(name))
    return name, left.get(name, ""), right.get(name, "")


def _word(entry: dict[str, str]) -> str:
    return f"a {entry['type']}" + (f" of {entry['size']}" if entry["type"] == "file" else "")


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _packing(expected: Image, found: Image) -> Difference | None:
    for number, (ours, theirs) in enumerate(zip(expected.layers, found.layers, strict=True)):
        if ours.blob != theirs.blob:
            left, right = f"{ours.blob.media_type} {ours.blob.digest}", f"{theirs.blob.media_type} {theirs.blob.digest}"
            return Difference(kind="blob", change="changed", layer=number, expected=left, found=right)
    if expected.digest != found.digest:
        return Difference(kind="manifest", change="changed", expected=expected.digest, found=found.digest)
    return None
