"""Parts -> who says what about them: rows of a table, and what to know before others can pull the image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from envctl.papers.part import Part
from envctl.papers.terms import Terms, terms_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Caution:
    """A vendor's terms, and the parts of the image that they are about."""

    terms: Terms
    parts: tuple[Part, ...]

    def lines(self) -> list[str]:
        """The caution in words: whose, what, the conditions, the source."""
        named = ", ".join(f"{part.name} {part.version}" for part in self.parts)
        source = [f"  source: {self.terms.source} (read {self.terms.checked})"] if self.terms.source else []
        return [f"{self.terms.title}: {named}", *(f"  - {each}" for each in self.terms.conditions), *source]

    def as_data(self) -> dict[str, Any]:
        """The same for `--json`."""
        return {
            "title": self.terms.title,
            "redistribution": self.terms.redistribution,
            "parts": [part.purl for part in self.parts],
            "conditions": list(self.terms.conditions),
            "source": self.terms.source,
        }


def warnings(parts: Iterable[Part]) -> tuple[Caution, ...]:
    """What to know before an image with these parts is pushed: one a vendor's licence that is not free to pass on."""
    found: dict[str, tuple[Terms, list[Part]]] = {}
    for part in parts:
        terms = terms_of(part)
        if terms and terms.redistribution != "free":
            found.setdefault(terms.title, (terms, []))[1].append(part)
    return tuple(Caution(terms=terms, parts=tuple(named)) for terms, named in found.values())


def rows(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """A row a part for `envctl build --licences --json`."""
    return [
        {
            "kind": part.kind,
            "name": part.name,
            "version": part.version,
            "licence": part.licence.text,
            "said_by": part.licence.origin,
            "redistribution": redistribution(part),
            "purl": part.purl,
        }
        for part in parts
    ]


def table(parts: Iterable[Part]) -> str:
    """The same as text, in columns; a licence that is longer than a line can be stays whole, as the last column."""
    cells = [("kind", "name", "version", "passing on", "licence")]
    cells += [(p.kind, p.name, p.version, redistribution(p), p.licence.text) for p in parts]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=False)] for row in cells]
    return "\n".join("  ".join([*left, row[4]]) for left, row in zip(padded, cells, strict=True))


def redistribution(part: Part) -> str:
    """One word: `conditions` or `unknown` for vendors' files, `free` for those that are known to be, else nothing."""
    terms = terms_of(part)
    return terms.redistribution if terms else ""
