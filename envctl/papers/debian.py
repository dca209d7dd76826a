"""The layers of a base -> its Debian packages: dpkg's own list, and the copyright file that each package brings.

deb-control and dpkg's status: https://www.debian.org/doc/debian-policy/ch-controlfields.html
copyright files: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from envctl.oci.content import Layer
from envctl.papers.part import Licence, Part

STATUS = "var/lib/dpkg/status"
STATUSES = "var/lib/dpkg/status.d/"  # a file a package, in images that have no dpkg
DOC = "usr/share/doc/"
RELEASES = ("etc/os-release", "usr/lib/os-release")
FIELD = re.compile(r"^(Package|Status|Version|Architecture): (.*)$", re.MULTILINE)
LARGEST = 16 << 20  # of a file that is read


@dataclass(kw_only=True, slots=True)
class _Read:
    """The files of the base that say something, the upper layers' over the lower ones'."""

    files: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)  # a package's folder that is another's: its name -> that name

    def copyright(self, name: str) -> str:
        return self.files.get(f"{DOC}{self.links.get(name, name)}/copyright", "")


def parts_of_base(layers: Iterable[Layer]) -> tuple[Part, ...]:
    """The Debian packages that a base's layers leave installed, sorted; none where dpkg made none of it."""
    read = _Read()
    for layer in layers:
        _read(layer, read)
    distro = _distro(next((read.files[path] for path in RELEASES if path in read.files), ""))
    parts = [_part(fields, read, distro) for fields in _installed(read)]
    return tuple(sorted(parts, key=lambda part: (part.name, part.arch)))


def _read(layer: Layer, read: _Read) -> None:
    with tarfile.open(fileobj=io.BufferedReader(_Stream(layer.tar())), mode="r|") as archive:
        for member in archive:
            _member(archive, member, read)


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, read: _Read) -> None:
    path = member.name.removeprefix("./").lstrip("/")
    folder, _, name = path.rpartition("/")
    if name.startswith(".wh."):
        read.files.pop(f"{folder}/{name.removeprefix('.wh.')}", None)
    elif member.issym() and f"{folder}/" == DOC:
        read.links[name] = member.linkname.rstrip("/").rpartition("/")[2]
    elif member.isfile() and member.size <= LARGEST and _tells(path):
        stream = archive.extractfile(member)
        read.files[path] = stream.read().decode("utf-8", errors="replace") if stream else ""


def _tells(path: str) -> bool:
    is_copyright = path.startswith(DOC) and path.endswith("/copyright")
    return path == STATUS or path in RELEASES or path.startswith(STATUSES) or is_copyright


def _installed(read: _Read) -> Iterator[dict[str, str]]:
    for path, text in read.files.items():
        for paragraph in text.split("\n\n") if path == STATUS or path.startswith(STATUSES) else ():
            fields = dict(FIELD.findall(paragraph))
            whole = {"Package", "Version", "Architecture"} <= fields.keys()
            if whole and (path != STATUS or fields.get("Status", "").endswith(" installed")):
                yield fields


def _part(fields: dict[str, str], read: _Read, distro: tuple[str, str]) -> Part:
    name, version, arch = fields["Package"], fields["Version"], fields["Architecture"]
    licence = licence_of_copyright(read.copyright(name))
    return Part(kind="deb", name=name, version=version, arch=arch, licence=licence, distro=distro)


def licence_of_copyright(text: str) -> Licence:
    """Every licence that a copyright file names, under Debian's names; or those whose common text it refers to."""
    named = re.findall(r"^License:[ \t]*(\S.*)$", text, re.MULTILINE) if text.lstrip().startswith("Format") else []
    common = re.findall(r"/usr/share/common-licenses/([\w.+-]*[\w+])", text)
    names = tuple(sorted({" ".join(name.split()) for name in named or common}))
    return Licence(names=names, origin=("copyright" if named else "common-licenses") if names else "")


def _distro(text: str) -> tuple[str, str]:
    fields = dict(re.findall(r'^(ID|VERSION_CODENAME)="?([^"\n]*)"?$', text, re.MULTILINE))
    return fields.get("ID", ""), fields.get("VERSION_CODENAME", "")


class _Stream(io.RawIOBase):
    """Blocks of bytes as a file that is read once."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self.blocks, self.left = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self.left:
            block = next(self.blocks, None)
            if block is None:
                return 0
            self.left = block
        size = min(len(buffer), len(self.left))
        buffer[:size] = self.left[:size]
        self.left = self.left[size:]
        return size
