"""Requirements -> the exact wheels that indexes have for them, through uv alone."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from envctl.aliases import DEFAULT, Indexes, is_folder_of_wheels, ways_out
from envctl.errors import HostLacks, Reason
from envctl.package import LockedPackage
from envctl.recipe import Packages
from envctl.run_uv import OWN_INDEXES, uv, uv_error

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from packaging.tags import Tag


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """A wheel that uv chose: where it lies, and its size where the index says it."""

    name: str
    version: str
    file: str
    sha256: str
    index: str
    url: str
    size: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What uv is asked: requirements and constraints on one Python and platform.

    `exclude_newer` is a moment (RFC 3339): what was uploaded later does not count. `keep` are versions to prefer.
    """

    packages: Packages
    constraints: tuple[str, ...]
    python: str
    platform: str
    exclude_newer: str = ""
    keep: tuple[LockedPackage, ...] = ()


def resolve(question: Question, indexes: Indexes, offline: bool) -> list[Wheel]:
    """The exact wheels for a set of requirements on one Python and platform, sorted by name."""
    with tempfile.TemporaryDirectory(prefix="envctl-lock-") as name:
        folder = Path(name)
        if question.keep:
            (folder / "pylock.toml").write_text(preferences(question), encoding="utf-8")
        tables = _compiled(folder, question, indexes, [], offline)
        ranks = _ranks(question.python, question.platform)
        found = [_chosen(table, question.packages, ranks, folder) for table in tables]
    return sorted(found, key=lambda each: each.name)


def _compiled(
    folder: Path, question: Question, indexes: Indexes, options: list[str], offline: bool
) -> list[dict[str, Any]]:
    """The packages of the pylock that uv writes for these requirements (PEP 751)."""
    (folder / "pyproject.toml").write_text(_project(question, indexes), encoding="utf-8")
    arguments = ["pip", "compile", "--quiet", "--format", "pylock.toml", "--only-binary", ":all:", "--no-header"]
    arguments += ["--no-annotate", "--python-version", question.python, "--python-platform", question.platform]
    arguments += ["--exclude-newer", question.exclude_newer] if question.exclude_newer else []
    arguments += [*options, *(["--offline"] if offline else []), *_first(indexes)]
    forbidden = OWN_INDEXES if DEFAULT in indexes.addresses else frozenset()
    done = uv([*arguments, "-o", "pylock.toml", "pyproject.toml"], folder, forbidden)
    if done.returncode:
        raise uv_error("lock", done, indexes, question.packages)
    tables: list[dict[str, Any]] = tomllib.loads((folder / "pylock.toml").read_text(encoding="utf-8"))["packages"]
    return tables


def _first(indexes: Indexes) -> list[str]:
    """The default alias's address once more, before any index that uv.toml names: a default one is asked last."""
    address = indexes.addresses.get(DEFAULT)
    return ["--index", address] if address and not is_folder_of_wheels(address) else []


def preferences(question: Question) -> str:
    """An earlier answer in the form in which uv takes versions to prefer: its own last output (PEP 751)."""
    lines = ['lock-version = "1.0"', 'created-by = "envctl"']
    for each in question.keep:
        wheel = f'{{ url = "file:///{quote(each.file)}", hashes = {{ sha256 = "{each.sha256}" }} }}'
        lines += ["[[packages]]", f'name = "{each.name}"', f'version = "{each.version}"', f"wheels = [{wheel}]"]
    return "\n".join(lines) + "\n"


def _project(question: Question, indexes: Indexes) -> str:
    """A project file for uv: an index that is not the default serves only the packages assigned to it."""
    packages = question.packages
    lines = ["[project]", 'name = "envctl-environment"', 'version = "0"']
    lines += [f'requires-python = "=={question.python}.*"', f"dependencies = {json.dumps(list(packages.requirements))}"]
    lines += ["[tool.uv]", f"constraint-dependencies = {json.dumps(list(question.constraints))}"]
    if packages.index:
        lines += [
            "[tool.uv.sources]",
            *(f'{name} = {{ index = "{alias}" }}' for name, alias in packages.index.items()),
        ]
    for name in sorted(packages.alone):
        lines += ["[[tool.uv.dependency-metadata]]", f'name = "{name}"', "requires-dist = []"]
    for alias in sorted(set(packages.index.values())):
        served = [name for name, own in packages.index.items() if own == alias]
        address = indexes.address(alias, " and ".join(served))
        lines += ["[[tool.uv.index]]", f'name = "{alias}"', f'url = "{address}"', "explicit = true"]
        lines += ['format = "flat"'] if is_folder_of_wheels(address) else []
    if DEFAULT in indexes.addresses:
        address = indexes.addresses[DEFAULT]
        lines += ["[[tool.uv.index]]", f'name = "{DEFAULT}"', f'url = "{address}"', "default = true"]
        lines += ['format = "flat"'] if is_folder_of_wheels(address) else []
    return "\n".join(lines) + "\n"


def _ranks(python: str, platform: str) -> dict[Tag, int]:
    """Every wheel tag that can be installed there, best first, as pip ranks them (PEP 425, PEP 600)."""
    from packaging.tags import compatible_tags, cpython_tags

    arch, _, newest = platform.partition("-manylinux_2_")
    platforms = [f"manylinux_2_{minor}_{arch}" for minor in range(int(newest), 4, -1)]
    platforms += [f"manylinux2014_{arch}", f"manylinux2010_{arch}", f"manylinux1_{arch}", f"linux_{arch}"]
    version = tuple(int(part) for part in python.split("."))
    interpreter = f"cp{version[0]}{version[1]}"
    tags = [*cpython_tags(version, platforms=platforms), *compatible_tags(version, interpreter, platforms)]
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}


def links(locked: list[LockedPackage], python: str, platform: str, indexes: Indexes, offline: bool) -> dict[str, str]:
    """Where the index says that each locked wheel lies: an address, or a path here, by the wheel's hash."""
    wanted = Packages(
        requirements=tuple(f"{package.name}=={package.version}" for package in locked),
        index={package.name: package.index for package in locked if package.index != DEFAULT},
    )
    found = {}
    with tempfile.TemporaryDirectory(prefix="envctl-links-") as folder:
        question = Question(packages=wanted, constraints=(), python=python, platform=platform)
        tables = _compiled(Path(folder), question, indexes, ["--no-deps"], offline)
        for wheel in (wheel for table in tables for wheel in table.get("wheels", [])):
            found[wheel["hashes"]["sha256"]] = str(wheel.get("url") or Path(folder, wheel["path"]).resolve())
    for package in locked:
        if package.sha256 not in found:
            because = [Reason(text=f"no file of {package.name} {package.version} has that hash", source=package.index)]
            do = ["lock again: the release was removed, or its files were changed", *ways_out(package.index)]
            raise HostLacks(f"the index ({package.index}) does not have {package.file}", because=because, do=do)
    return found


def _file(wheel: dict[str, Any]) -> str:
    return str(wheel.get("name") or unquote(Path(urlsplit(wheel.get("url") or wheel["path"]).path).name))


def _chosen(table: dict[str, Any], packages: Packages, ranks: dict[Tag, int], folder: Path) -> Wheel:
    """The best wheel of a package; uv lists several where an index has a pure and a compiled one, say."""
    from packaging.utils import parse_wheel_filename

    best: tuple[int, dict[str, Any]] | None = None
    for wheel in table.get("wheels", []):
        tags = parse_wheel_filename(_file(wheel))[3]
        rank = min((ranks[tag] for tag in tags if tag in ranks), default=None)
        if rank is not None and (best is None or rank < best[0]):
            best = rank, wheel
    if best is None:
        raise HostLacks(f"{table['name']} {table['version']} has no wheel for this platform")
    wheel = best[1]
    return Wheel(
        name=table["name"],
        version=table["version"],
        file=_file(wheel),
        sha256=wheel["hashes"]["sha256"],
        index=packages.index.get(table["name"], DEFAULT),
        url=wheel.get("url") or (folder / wheel["path"]).resolve().as_uri(),
        size=wheel.get("size"),
    )
