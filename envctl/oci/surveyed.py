"""What was found in an image's layers: its CPythons and Debian packages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class InstalledPackage:
    """One installed Debian package of a base, as dpkg writes it."""

    name: str
    version: str
    arch: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpreter:
    """A CPython: its exact version, the SHA-256 of the file that holds its compiler, and the folder of its program."""

    version: str
    sha256: str
    home: str

    @property
    def minor(self) -> str:
        """Its minor version: 3.11."""
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The CPythons on the image's PATH, the one that `python3` means first; Debian's packages; the outermost folders;
    the tars' sizes by digest."""

    interpreters: tuple[Interpreter, ...]
    packages: tuple[InstalledPackage, ...]
    folders: tuple[str, ...]
    tar_sizes: dict[str, int]
