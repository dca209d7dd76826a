"""What an image is a function of; light, as it also says whether there can be an image at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from envctl.lock import Lock
from envctl.oci import PREFIX, RULES
from envctl.oci.base_image import BaseImage
from envctl.oci.content import compact_json
from envctl.oci.store import read_note


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an environment stands, and for which minor version of CPython."""

    prefix: str
    python: str

    @property
    def library(self) -> str:
        """site-packages, relative to the prefix."""
        return f"lib/python{self.python}/site-packages"

    def bytecode(self, path: str) -> str:
        """Where the bytecode of a source file lies (PEP 3147)."""
        folder, _, name = path.rpartition("/")
        return f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-{self.python.replace('.', '')}.pyc"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that an image is a function of."""

    lock: Lock
    base: BaseImage
    revision: str = ""
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", Place(prefix=PREFIX, python=self.lock.python))
        object.__setattr__(self, "base", self.base.with_python(self.lock.python))

    @property
    def lacking(self) -> tuple[str, ...]:
        """The folders above the prefix that the base does not have."""
        return self.base.lacking(PREFIX)

    @property
    def key(self) -> str:
        """Names the environment's layers."""
        wheels = sorted(package.sha256 for package in self.lock.packages)
        parts = [RULES, PREFIX, wheels, self.lock.python, self.base.identity, self.base.home, list(self.lacking)]
        return hashlib.sha256(compact_json(parts)).hexdigest()

    @property
    def was_measured(self) -> bool:
        """Whether the image's layers are known."""
        return read_note("images", self.key) is not None
