"""The compatibility matrix: a folder of components, each fact with its source (format: docs/matrix.md)."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from envctl.compiled import read_component
from envctl.errors import BadInput
from envctl.release import Claim, Component
from envctl.tree import payload
from envctl.versions import boundaries, is_bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """The components of one folder, each read when first asked for."""

    folder: Path
    _read: dict[str, Component] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)
    _lines: dict[str, set[str]] = field(default_factory=dict)
    _words: set[str] = field(default_factory=set)

    def names(self) -> list[str]:
        """The names of all components, sorted."""
        if not self._names:
            self._names.extend(sorted(path.stem for path in self.folder.glob("*.toml")))
        return self._names

    def has(self, name: str) -> bool:
        """Whether the component has a file of its own."""
        return name in self._read or name in self.names()

    def component(self, name: str) -> Component:
        """The component of that name; raises `BadInput` with the nearest name when there is none."""
        if name not in self._read:
            if not self.has(name):
                near = difflib.get_close_matches(name, self.names(), n=1)
                do = [f"did you mean {near[0]}?"] if near else [f"known: {', '.join(self.names())}"]
                raise BadInput(f"unknown component {name!r}", do=do)
            self._read[name] = read_component(self.folder / f"{name}.toml")
        return self._read[name]

    def lines_drawn(self, name: str) -> set[str]:
        """The versions of a component at which any claim of any release changes its mind."""
        if not self._lines:
            for claim in self._all_claims():
                self._lines.setdefault(claim.name, set()).update(boundaries(claim.condition))
        return self._lines.get(name, set())

    def in_words(self, name: str) -> bool:
        """Whether claims on a component name words (`avx2,fma`) and not versions."""
        if not self._words:
            self._words.update(claim.name for claim in self._all_claims() if is_bits(claim.condition.any[0]))
        return name in self._words

    def _all_claims(self) -> Iterator[Claim]:
        for component in map(self.component, self.names()):
            for release in component.releases:
                yield from (*release.requires, *release.gpu, *release.ptx, *release.beside)


def load(folder: Path | None = None) -> Matrix:
    """The matrix in `folder` (default: the one that comes with envctl)."""
    return Matrix(folder=folder or payload("matrices"))
