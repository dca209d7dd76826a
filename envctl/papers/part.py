"""One thing inside an image, a wheel or a Debian package, and the licence that it says it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote


@dataclass(frozen=True, kw_only=True, slots=True)
class Licence:
    """What a part says about its licence, and which field said so.

    `expression` is SPDX, and empty when the words are not. `names` are the words: one of a wheel, often several of a
    Debian package, none where nothing is said. `proprietary` is what the words amount to, not a judgement of ours.
    """

    expression: str = ""
    names: tuple[str, ...] = ()
    origin: str = ""
    proprietary: bool = False

    @property
    def text(self) -> str:
        """The licence in a line."""
        return self.expression or ", ".join(self.names) or "not stated"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A wheel (with the hash of its file) or a Debian package (with its architecture and the system it is from)."""

    kind: Literal["wheel", "deb"]
    name: str
    version: str
    licence: Licence
    file: str = ""
    sha256: str = ""
    index: str = ""
    arch: str = ""
    distro: tuple[str, str] = ("", "")  # as /etc/os-release has it: ID and VERSION_CODENAME

    @property
    def purl(self) -> str:
        """The part as a package URL: https://github.com/package-url/purl-spec (types pypi and deb)."""
        version = quote(self.version, safe=":")
        if self.kind == "wheel":
            return f"pkg:pypi/{quote(self.name.replace('_', '-').lower())}@{version}"
        vendor, codename = self.distro
        distro = f"&distro={quote(codename)}" if codename else ""
        return f"pkg:deb/{quote(vendor or 'debian')}/{quote(self.name, safe='')}@{version}?arch={self.arch}{distro}"
