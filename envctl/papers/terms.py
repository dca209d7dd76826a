"""`images/licences.toml`: whose licences ask for more than to be passed on, and how licences are spelt."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from envctl.papers.part import Part
from envctl.tree import payload

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What is meant by a License field (in lower case) and by a classifier, where that is one licence of SPDX."""

    spellings: dict[str, str]
    classifiers: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """A vendor's licence: what it is for, whether its files may be passed on, and under which conditions."""

    title: str
    distributions: tuple[str, ...]
    redistribution: str  # "free": as any open licence; "conditions"; "unknown": nobody has looked
    conditions: tuple[str, ...]
    source: str
    checked: str


UNKNOWN = Terms(
    title="a proprietary licence whose terms envctl does not know",
    distributions=(),
    redistribution="unknown",
    conditions=("read the licence that lies in the wheel's .dist-info before others can pull the image",),
    source="",
    checked="",
)


def _data() -> dict[str, Any]:
    return tomllib.loads((payload("images") / "licences.toml").read_text(encoding="utf-8"))


@cache
def read_words() -> Words:
    """How licences are spelt."""
    data = _data()
    return Words(spellings=data["spellings"], classifiers=data["classifiers"])


@cache
def read_terms() -> tuple[Terms, ...]:
    """The vendors' terms, in the order of the file: the first that names a distribution counts."""
    return tuple(_terms(table) for table in _data()["terms"])


def _terms(table: dict[str, Any]) -> Terms:
    return Terms(
        title=table["title"],
        distributions=tuple(table["distributions"]),
        redistribution=table["redistribution"],
        conditions=tuple(table["conditions"]),
        source=table["source"],
        checked=table["checked"].isoformat(),
    )


def terms_of(part: Part) -> Terms | None:
    """The terms of a part, by its name; `UNKNOWN` where it only says that it is proprietary; None for all others."""
    if part.kind == "wheel":
        name = part.name.replace("_", "-").lower()
        for terms in read_terms():
            if any(fnmatchcase(name, pattern) for pattern in terms.distributions):
                return terms
    return UNKNOWN if part.licence.proprietary else None
