"""A fact and what it stands in: claims, releases, components (format: docs/matrix.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from envctl.versions import Condition

Kind = Literal["engine", "component", "package", "host", "model"]
EXTRA = "extra "  # before the name of the extra, in place of a feature's
EVIDENCE = ("documented", "metadata", "measured", "second-hand", "unverified")


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A release (`owner`) works only where `name` satisfies `condition`; `source` is the page or measurement."""

    owner: str
    name: str
    condition: Condition
    source: str
    evidence: str
    note: str = ""
    feature: str = ""

    @property
    def of_extra(self) -> bool:
        """Whether it is what a wheel's extra pins: whoever has the libraries from elsewhere is not bound by it."""
        return self.feature.startswith(EXTRA)


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One release of a component and its claims, by the table they stand in (docs/matrix.md says what each is for).

    `beside` is the table `with`; `provides` are the versions that come inside; `contradicts` what other sources say;
    `vouches` names, for a partner that this release was put together with, claims of that partner that do not count.
    """

    component: str
    version: str
    source: str
    evidence: str
    requires: tuple[Claim, ...]
    gpu: tuple[Claim, ...] = ()
    ptx: tuple[Claim, ...] = ()
    beside: tuple[Claim, ...] = ()
    provides: Mapping[str, str] = field(default_factory=dict)
    contradicts: tuple[Claim, ...] = ()
    vouches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """One file of the matrix; `releases` stand newest first.

    `packages` are the Python distributions that its claims name and that have no file of their own. `distribution` is
    the one on a package index whose releases are compared with the rows, where it has another name. `unless` names, for
    a claim, the component that can stand in for it; `implies`, for a word (`avx2`), the words that come with it.
    """

    name: str
    title: str
    kind: Kind
    releases: tuple[Release, ...]
    packages: tuple[str, ...] = ()
    unless: Mapping[str, str] = field(default_factory=dict)
    implies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    distribution: str = ""

    def row(self, version: str) -> Release | None:
        """The release that speaks for a version: itself, else the longest beginning (580 speaks for 580.159.04)."""
        rows = {release.version: release for release in self.releases}
        public, plus, local = version.partition("+")  # 9.4+rhel belongs to 9+rhel
        while public + plus + local not in rows and "." in public:
            public = public.rpartition(".")[0]
        return rows.get(public + plus + local)

    def with_implied(self, words: str) -> str:
        """Words of a fact (`avx2 fma`) with all that they imply."""
        found = dict.fromkeys(words.replace("-", "_").split())
        for word in (open_ := list(found)):
            open_ += [other for other in self.implies.get(word, ()) if other not in found]
            found.update(dict.fromkeys(self.implies.get(word, ())))
        return " ".join(found)
