"""One TOML file of the matrix -> a component; every break of the format is refused, with file, table and key."""

from __future__ import annotations

import sys
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, cast, get_args

from packaging.version import InvalidVersion, Version

from envctl.errors import EnvctlError
from envctl.release import EVIDENCE, Claim, Component, Kind, Release
from envctl.versions import parse_condition

if sys.version_info >= (3, 11):
    import tomllib
else:  # the standard library has it from 3.11
    import tomli as tomllib

CLAIM_KEYS = frozenset({"any", "source", "evidence", "checked", "note", "feature"})
RELEASE_KEYS = CLAIM_KEYS - {"any", "feature"} | {
    "version", "released", "requires", "gpu", "ptx", "with", "provides", "contradicts", "extras", "vouches",
}  # fmt: skip


class MatrixError(EnvctlError):
    """A matrix file breaks the format; the message names file, table and key."""


def parse_component(path: Path, content: bytes) -> Component:
    """The component described by one TOML file; raises `MatrixError` when the file breaks the format."""
    data = _parse(path, content)
    if data.get("component") != path.stem:
        raise MatrixError(f"{path.name}: key component must be {path.stem!r}, is {data.get('component')!r}")
    if data.get("kind") not in get_args(Kind):
        raise MatrixError(f"{path.name}: key kind must be one of {', '.join(get_args(Kind))}")
    tables = data.get("release", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise MatrixError(f"{path.name}: key release must be tables, each under [[release]]")
    releases = [_release(path, index, table) for index, table in enumerate(tables)]
    _check_order(path, releases)
    return Component(
        name=path.stem,
        title=data.get("title", path.stem),
        kind=data["kind"],
        releases=tuple(releases),
        packages=tuple(data.get("packages", [])),
        unless=data.get("unless", {}),
        implies={row["name"]: tuple(row.get("implies", ())) for row in data.get("isa", [])},
        distribution=str(data.get("distribution", "")),
    )


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MatrixError(f"{path.name}: not valid TOML: {error}") from error


def _release(path: Path, index: int, table: dict[str, object]) -> Release:
    where = f"{path.name}: release {table.get('version', index)}"
    _check_keys(where, table, RELEASE_KEYS)
    for key in ("version", "source", "evidence", "checked"):
        if not table.get(key):
            raise MatrixError(f"{where}: key {key} is missing")
    version = table["version"]
    if not isinstance(version, str):
        raise MatrixError(f"{where}: key version must be quoted")
    if not isinstance(table["checked"], date):
        raise MatrixError(f"{where}: key checked must be a date, unquoted")
    _check_evidence(where, table)
    try:
        Version(version)
    except InvalidVersion as error:
        raise MatrixError(f"{where}: key version: {error}") from error
    owner = f"{path.stem} {version}"
    return Release(
        component=path.stem,
        version=version,
        source=str(table["source"]),
        evidence=str(table["evidence"]),
        requires=_claims(where, "requires", owner, table),
        gpu=_claims(where, "gpu", owner, table),
        ptx=_claims(where, "ptx", owner, table),
        beside=_claims(where, "with", owner, table),
        provides=_provides(where, table),
        contradicts=_contradicts(where, owner, table),
        vouches=_vouches(where, table),
        note=str(table.get("note", "")),
    )


def _provides(where: str, release: dict[str, object]) -> dict[str, str]:
    """The versions that come inside a release, by name."""
    table = release.get("provides", {})
    if not isinstance(table, dict) or not all(isinstance(version, str) for version in table.values()):
        raise MatrixError(f"{where}: key provides must be a table of quoted versions")
    return table


def _vouches(where: str, release: dict[str, object]) -> dict[str, tuple[str, ...]]:
    """Partner -> names on which its claims do not count beside this release."""
    table = release.get("vouches", {})
    if not isinstance(table, dict) or not all(isinstance(names, list) for names in table.values()):
        raise MatrixError(f"{where}: key vouches must be a table of lists of names")
    return {str(partner): tuple(map(str, names)) for partner, names in table.items()}


def _contradicts(where: str, owner: str, release: dict[str, object]) -> tuple[Claim, ...]:
    """What other sources say instead: tables with `claim`, the name that it is about."""
    tables = release.get("contradicts", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) and table.get("claim") for table in tables):
        raise MatrixError(f"{where}: key contradicts must be tables with a claim")
    return tuple(
        _claim(f"{where}: contradicts.{table['claim']}", owner, str(table["claim"]), _without(table, "claim"), release)
        for table in tables
    )


def _without(table: dict[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in table.items() if name != key}


def _claims(where: str, key: str, owner: str, release: dict[str, object]) -> tuple[Claim, ...]:
    """The claims of one of a release's tables."""
    table = release.get(key, {})
    if not isinstance(table, dict):
        raise MatrixError(f"{where}: key {key} must be a table")
    return tuple(_claim(f"{where}: {key}.{name}", owner, name, value, release) for name, value in table.items())


def _check_keys(where: str, table: dict[str, object], known: frozenset[str]) -> None:
    """A misspelt key would be a fact that nobody reads."""
    for key in sorted(set(table) - known):
        raise MatrixError(f"{where}: key {key} is unknown; known: {', '.join(sorted(known))}")


def _check_evidence(where: str, table: dict[str, object]) -> None:
    if table.get("evidence") not in (*EVIDENCE, None):
        raise MatrixError(f"{where}: key evidence must be one of {', '.join(EVIDENCE)}")


def _claim(where: str, owner: str, name: str, value: object, release: dict[str, object]) -> Claim:
    """A claim written as a list of specifiers, or as a table with a source of its own."""
    own = cast(dict[str, object], value) if isinstance(value, dict) else {"any": value}
    _check_keys(where, own, CLAIM_KEYS)
    _check_evidence(where, own)
    alternatives = own.get("any")
    if not isinstance(alternatives, list) or not alternatives or not all(isinstance(a, str) for a in alternatives):
        raise MatrixError(f"{where}: must be a list of quoted specifiers")
    try:
        condition = parse_condition(alternatives)
    except ValueError as error:
        raise MatrixError(f"{where}: {error}") from error
    source, evidence = own.get("source", release["source"]), own.get("evidence", release["evidence"])
    said = {"source": str(source), "evidence": str(evidence), "note": str(own.get("note", ""))}
    return Claim(owner=owner, name=name, condition=condition, feature=str(own.get("feature", "")), **said)


def _check_order(path: Path, releases: list[Release]) -> None:
    versions = [Version(release.version) for release in releases]
    for newer, older in pairwise(versions):
        if newer <= older:
            what = f"{path.name}: release {older}: key version: releases must stand newest first, each once"
            raise MatrixError(f"{what}; it stands below {newer}")
