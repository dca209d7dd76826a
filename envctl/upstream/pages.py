"""The pages of a package index: JSON (PEP 691) or HTML (PEP 503, 592, 658) -> what is published. Pure."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from envctl.upstream.published import File, Malformed, Published

HASH = re.compile(r"[0-9a-f]{64}")


def parse_page(distribution: str, alias: str, url: str, kind: str, body: str) -> Published:
    """A project's page in JSON or HTML; raises `Malformed`. Files whose names nobody can read are left out."""
    entries = _json_entries(distribution, body) if "json" in kind else _html_entries(body)
    return from_entries(distribution, alias, url, entries)


def from_entries(distribution: str, alias: str, url: str, entries: list[dict[str, Any]]) -> Published:
    """The releases that a page's files make up; raises `Malformed` when files are there and none is of its name."""
    releases: dict[Version, list[File]] = {}
    for entry in entries:
        file = _file(distribution, url, entry)
        if file:
            releases.setdefault(file.version, []).append(file)
    if entries and not releases:
        raise Malformed(f"the page of {distribution} lists {len(entries)} files, none of which is one of its own")
    frozen = {version: tuple(files) for version, files in releases.items()}
    return Published(distribution=distribution, alias=alias, releases=frozen)


def _json_entries(distribution: str, body: str) -> list[dict[str, Any]]:
    try:
        data = json.loads(body)
        version, name, files = data["meta"]["api-version"], data["name"], data["files"]
    except (ValueError, TypeError, KeyError) as error:
        raise Malformed(f"the page of {distribution} is no PEP 691 document: {error!r}") from error
    _check_major(str(version))
    if canonicalize_name(str(name)) != distribution:
        raise Malformed(f"the page of {distribution} is about {name!r}")
    if not isinstance(files, list) or not all(isinstance(file, dict) and "filename" in file for file in files):
        raise Malformed(f"the page of {distribution} has no list of files")
    return files


def _check_major(version: str) -> None:
    if version.partition(".")[0] != "1":
        raise Malformed(f"the page has API version {version!r}; 1 is known")


class _Links(HTMLParser):
    """Collects the links of a PEP 503 page, with the keys that PEP 691 gives the same things."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta" and given.get("name") == "pypi:repository-version":
            _check_major(given.get("content") or "")
        href = given.get("href") or ""
        if tag == "a" and href:
            metadata = given.get("data-core-metadata", given.get("data-dist-info-metadata"))
            self.entries.append(
                {
                    "filename": unquote(urlsplit(href).path.rpartition("/")[2]),
                    "url": href,
                    "requires-python": given.get("data-requires-python"),
                    "yanked": "data-yanked" in given,
                    "core-metadata": _html_hash(metadata),
                }
            )


def _html_hash(value: str | None) -> bool | dict[str, str]:
    """`sha256=…` or `true` as PEP 691 says it."""
    kind, found, digest = (value or "").partition("=")
    return {kind: digest} if found else bool(value)


def _html_entries(body: str) -> list[dict[str, Any]]:
    if "<" not in body:
        raise Malformed("the page is neither JSON nor HTML")
    links = _Links()
    links.feed(body)
    return links.entries


def _file(distribution: str, page: str, entry: dict[str, Any]) -> File | None:
    """A wheel or source archive of that distribution; None for anything else."""
    name, url = str(entry["filename"]), urljoin(page, str(entry.get("url") or ""))
    found = _name_version_tags(name)
    if found is None or found[0] != distribution or not _may_lead_to(page, url):
        return None
    metadata = entry.get("core-metadata", entry.get("dist-info-metadata"))
    return File(
        name=name,
        version=found[1],
        url=urlsplit(url)._replace(fragment="").geturl(),
        tags=found[2],
        requires_python=str(entry.get("requires-python") or ""),
        yanked=bool(entry.get("yanked")),
        sha256=_digest(entry.get("hashes") or dict([urlsplit(url).fragment.partition("=")[::2]])) or "",
        metadata=_digest(metadata),
    )


def _may_lead_to(page: str, url: str) -> bool:
    """Whether a page may name such an address: one from the network must not make us read this machine's files."""
    return urlsplit(page).scheme == "file" or urlsplit(url).scheme in ("http", "https")


def _digest(hashes: object) -> str | None:
    """A SHA-256 out of a table of hashes; it becomes a file name, so it must look like one."""
    if isinstance(hashes, dict):
        given = str(hashes.get("sha256", ""))
        return given if HASH.fullmatch(given) else ""
    return "" if hashes else None


def _name_version_tags(name: str) -> tuple[str, Version, frozenset[Tag]] | None:
    try:
        if name.endswith(".whl"):
            project, version, _, tags = parse_wheel_filename(name)
            return project, version, tags
        project, version = parse_sdist_filename(name)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None
    return project, version, frozenset()
