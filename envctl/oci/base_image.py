"""What an image is built upon: a base with its layers, and the exact interpreters in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from envctl.errors import BadInput
from envctl.oci.content import Image, Layer, compact_json
from envctl.oci.surveyed import InstalledPackage, Interpreter


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseImage:
    """A base, wherever it came from: its manifest's digest (its identity), configuration and layers, and what stands in
    them. The first of its `interpreters` is the one that counts; there is none in an image without CPython.

    `name` is how people call it; `packages` are Debian's; `folders` are the outermost ones that it has.
    """

    image: Image
    digest: str
    name: str = ""
    interpreters: tuple[Interpreter, ...] = ()
    packages: tuple[InstalledPackage, ...] = ()
    folders: frozenset[str] = frozenset()

    @property
    def config(self) -> dict[str, Any]:
        """The configuration."""
        found: dict[str, Any] = json.loads(self.image.config)
        return found

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, the lowest first."""
        return self.image.layers

    @property
    def python(self) -> str:
        """The exact version of its CPython (3.11.2), "" without one."""
        return self.interpreters[0].version if self.interpreters else ""

    @property
    def interpreter(self) -> str:
        """The SHA-256 of the file that holds its CPython's compiler, "" without one."""
        return self.interpreters[0].sha256 if self.interpreters else ""

    @property
    def home(self) -> str:
        """The folder with its CPython's program, "" without one."""
        return self.interpreters[0].home if self.interpreters else ""

    @property
    def minor(self) -> str:
        """The minor version of its CPython: 3.11."""
        return self.interpreters[0].minor if self.interpreters else ""

    def with_python(self, minor: str) -> BaseImage:
        """The base with its CPython of that minor version as the one that counts; raises `BadInput` without one."""
        fitting = tuple(each for each in self.interpreters if each.minor == minor)
        if fitting:
            return replace(self, interpreters=(*fitting, *(each for each in self.interpreters if each not in fitting)))
        has = " and ".join(each.version for each in self.interpreters) or "none on its PATH"
        do = [f"take a base with CPython {minor}: envctl base ls shows those in the store"]
        raise BadInput(f"the lock is for CPython {minor}, the base {self.name or self.digest} has {has}", do=do)

    def lacking(self, prefix: str) -> tuple[str, ...]:
        """The outermost folder of the prefix where the base does not have it: Docker would make it for root alone."""
        parts = prefix.strip("/").split("/")[:-1]
        above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        return tuple(path for path in above if path not in self.folders)

    @property
    def identity(self) -> str:
        """A digest of what bytecode depends on: the interpreter, and the files of all layers."""
        layers = [layer.diff_id for layer in self.layers]
        return hashlib.sha256(compact_json([self.interpreter, self.python, layers])).hexdigest()
