"""The layers of a base -> its Debian packages: dpkg's own list, and the copyright file that each package brings.

copyright files: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from envctl.oci.content import Layer
from envctl.oci.debian import installed, tells_packages
from envctl.oci.survey import TarStream, members, path_of
from envctl.oci.surveyed import InstalledPackage
from envctl.papers.part import Licence, Part

DOC = "usr/share/doc/"
RELEASES = ("etc/os-release", "usr/lib/os-release")
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
    return tuple(_part(package, read, distro) for package in installed(read.files))


def _read(layer: Layer, read: _Read) -> None:
    for member, content in members(TarStream(layer.tar())):
        path = path_of(member.name)
        folder, _, name = path.rpartition("/")
        if name.startswith(".wh."):
            _forget(read, folder, name)
        elif member.issym() and f"{folder}/" == DOC:
            read.links[name] = member.linkname.rstrip("/").rpartition("/")[2]
        elif content and member.size <= LARGEST and _tells(path):
            read.files[path] = content.read().decode("utf-8", errors="replace")


def _forget(read: _Read, folder: str, name: str) -> None:
    """What a layer takes away: a path with all below it, or everything that lower layers have in a folder."""
    gone = folder if name == ".wh..wh..opq" else f"{folder}/{name.removeprefix('.wh.')}".lstrip("/")
    for known in [each for each in read.files if each == gone or each.startswith(f"{gone}/")]:
        read.files.pop(known)
    for link in [each for each in read.links if f"{DOC}{each}" == gone or f"{DOC}{each}".startswith(f"{gone}/")]:
        read.links.pop(link)


def _tells(path: str) -> bool:
    is_copyright = path.startswith(DOC) and path.endswith("/copyright")
    return tells_packages(path) or path in RELEASES or is_copyright


def _part(package: InstalledPackage, read: _Read, distro: tuple[str, str]) -> Part:
    licence = licence_of_copyright(read.copyright(package.name))
    named = {"name": package.name, "version": package.version, "arch": package.arch}
    return Part(kind="deb", **named, licence=licence, distro=distro)


def licence_of_copyright(text: str) -> Licence:
    """Every licence that a copyright file names, under Debian's names; or those whose common text it refers to."""
    named = re.findall(r"^License:[ \t]*(\S.*)$", text, re.MULTILINE) if text.lstrip().startswith("Format") else []
    common = re.findall(r"/usr/share/common-licenses/([\w.+-]*[\w+])", text)
    names = tuple(sorted({" ".join(name.split()) for name in named or common}))
    return Licence(names=names, origin=("copyright" if named else "common-licenses") if names else "")


def _distro(text: str) -> tuple[str, str]:
    fields = dict(re.findall(r'^(ID|VERSION_CODENAME)="?([^"\n]*)"?$', text, re.MULTILINE))
    return fields.get("ID", ""), fields.get("VERSION_CODENAME", "")
