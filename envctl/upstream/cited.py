"""Which releases on a package index the matrix's rows and claims are about: by their sources. Pure."""

from __future__ import annotations

import re

from packaging.version import Version

from envctl.release import Component, Release
from envctl.upstream.published import Published, linux_wheels

Name = tuple[str, str]  # an index's alias and a distribution
SOURCE = re.compile(r"([a-z0-9-]+):([A-Za-z0-9._-]+)==(\S+)")
OPEN = ("metadata", "unverified")  # the kinds of evidence that an index may correct
BY_TAGS = ("python", "glibc")  # the claims that wheel tags tell
FEWEST = 0.8  # of the releases that the matrix has from an index: with less, the index is doubted, not the matrix


def distribution(component: Component) -> Name | None:
    """The distribution whose releases are a component's rows: the one it says, else one of its own name."""
    cited = {name: alias for release in component.releases for alias, name, _ in _cited(release)}
    name = component.distribution or component.name
    if name in cited or component.distribution:
        return cited.get(name, "pypi"), name
    return None


def others(component: Component) -> list[Name]:
    """The distributions, besides its own, whose wheel tags its claims on python and glibc stand on."""
    own = distribution(component)
    claims = [claim for release in component.releases for claim in release.requires if claim.name in BY_TAGS]
    found = [source_of(claim.source) for claim in claims if claim.evidence in OPEN]
    return sorted({(each[0], each[1]) for each in found if each} - {own or ("", "")})


def source_of(text: str) -> tuple[str, str, str] | None:
    """Alias, distribution and version of a source like pypi:onnx==1.23.2."""
    match = SOURCE.fullmatch(text)
    return (match[1], match[2], match[3]) if match else None


def _cited(release: Release) -> list[tuple[str, str, str]]:
    sources = [release.source, *(claim.source for claim in (*release.requires, *release.gpu))]
    return [found for found in map(source_of, sources) if found]


def cited_version(release: Release, name: str) -> Version | None:
    """The version of that distribution that a row cites as its own; a claim may cite a neighbour's (keras 2.4.1)."""
    own = Version(release.version)
    cited = [Version(version) for _, each, version in _cited(release) if each == name]
    longer = (version for version in cited if version.release[: len(own.release)] == own.release)
    return own if own in cited else next(longer, None)


def row_version(release: Release, main: Published) -> Version | None:
    """The version on the index that a row is about; None for a row that the index knows nothing of."""
    cited = cited_version(release, main.distribution)
    if cited:
        return cited
    own = Version(release.version)
    if own in main.releases:
        return own
    longer = [version for version in main.releases if version.release[: len(own.release)] == own.release]
    return max(longer, default=None)


def shown_version(component: Component, version: Version, main: Published) -> str:
    """A version of the index as the rows write theirs: TensorRT's have three parts here, four there."""
    for release in component.releases:
        there = row_version(release, main)
        if there:
            parts = len(Version(release.version).release)
            same = Version(release.version) == there
            return str(version) if same else ".".join(map(str, version.release[:parts]))
    return str(version)


def new_versions(component: Component, main: Published) -> list[Version]:
    """The releases on the index that are newer than the oldest row and have no row, newest first.

    One that Linux cannot install is no news, unless none of the rows' releases has a wheel (TensorRT's are stubs).
    """
    rows = {release.version: row_version(release, main) for release in component.releases}
    there = [version for version in rows.values() if version]
    wheels = any(linux_wheels(main.releases.get(version, ())) for version in there)
    finals = [version for version in main.finals() if not wheels or linux_wheels(main.releases[version])]
    oldest = min(there, default=None)
    shown = {shown_version(component, version, main): version for version in reversed(finals)}
    new = [v for name, v in shown.items() if v not in there and name not in rows and (oldest is None or v > oldest)]
    return sorted(new, reverse=True)


def suspicions(component: Component, name: Name, published: Published | None) -> list[str]:
    """Why an index's answer about a distribution that the matrix knows should not be believed; empty when it can be."""
    if published is None or not published.releases:
        return [f"it has no {name[1]}"]
    cited = [version for version in (cited_version(release, name[1]) for release in component.releases) if version]
    there = [version for version in cited if version in published.releases]
    found = []
    if len(there) < FEWEST * len(cited):
        found.append(f"it has {len(there)} of the {len(cited)} releases of {name[1]} that the matrix took from it")
    newest = max(published.finals(), default=None)
    if cited and (newest is None or newest < max(cited)):
        found.append(f"its newest {name[1]} is {newest}, the matrix has {max(cited)}")
    return found
