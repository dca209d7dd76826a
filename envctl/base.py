"""The base images that envctl makes of Debian packages (`images/base.toml`)."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from envctl.tree import payload

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """A base image made from Debian packages: its CPython, its C library, and the tag it has in the local daemon."""

    name: str
    suite: str
    python: str
    glibc: str
    packages: tuple[str, ...]

    @property
    def tag(self) -> str:
        """The local name that `envctl base` gives it."""
        return f"envctl-base:{self.suite}-py{self.python.replace('.', '')}"


def bases() -> list[Base]:
    """The bases envctl can make, in order of preference."""
    tables = tomllib.loads((payload("images") / "base.toml").read_text(encoding="utf-8"))["base"]
    names = ("name", "suite", "python", "glibc")
    return [Base(packages=tuple(table["packages"]), **{name: table[name] for name in names}) for table in tables]


def base_for(python: str) -> Base | None:
    """The base that brings this minor version of CPython, if any."""
    return next((base for base in bases() if base.python == python), None)
