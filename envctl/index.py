"""Packages from indexes, locked and installed. The only module on the network, and it goes there through uv alone."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from envctl.aliases import DEFAULT, Indexes, ways_out
from envctl.errors import HostLacks, NoStack, Reason
from envctl.recipe import Packages

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# a person's settings that would choose other versions than the lock's own words say
NOT_FOR_LOCKS = frozenset({
    "VIRTUAL_ENV", "UV_EXCLUDE_NEWER", "UV_RESOLUTION", "UV_PRERELEASE", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE",
    "UV_INDEX_STRATEGY", "UV_FORK_STRATEGY", "UV_NO_BINARY", "UV_TORCH_BACKEND", "UV_BUILD_CONSTRAINT",
})  # fmt: skip
# indexes of a person's own; they do not count where the default alias has an address
OWN_INDEXES = frozenset({
    "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX",
})  # fmt: skip
LACKING = (
    "was not found in the package registry",
    "failed to read `--find-links`",
    "distribution not found at",
    "404 not found",
)
# the package that uv found nowhere, or in no version that was asked for
LACKED = re.compile(r"(?:there (?:is|are) no versions? of (?P<there>[\w.-]+)|(?P<found>[\w.-]+) was not found in the)")
UNREACHABLE = (
    "dns error",
    "error sending request",
    "connection refused",
    "failed to fetch",
    "timed out",
    "tls",
)

if TYPE_CHECKING:
    from packaging.tags import Tag


FINDING = threading.Lock()  # find_uv_bin asks sysconfig, which several threads cannot fill at once


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedPackage:
    """One wheel: what it is, its file name, size in bytes and hash, and the alias of the index that serves it."""

    name: str
    version: str
    file: str
    size: int
    sha256: str
    index: str


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


def uv(arguments: list[str], cwd: Path, without: frozenset[str] = frozenset()) -> subprocess.CompletedProcess[str]:
    """Run uv to its end, `without` some variables. It ends with us: Ctrl-C reaches it too, as it shares the terminal's
    process group."""
    from uv import find_uv_bin

    environment = {key: value for key, value in os.environ.items() if key not in NOT_FOR_LOCKS | without}
    # the lock says which interpreter and files; nothing may be fetched that it does not name
    environment |= {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    with FINDING:
        program = find_uv_bin()
    return subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=die_with_parent,
    )


def die_with_parent() -> None:
    """Have the kernel end this process with the one that started it (prctl's PR_SET_PDEATHSIG, Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


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
    return ["--index", address] if address and not _is_folder_of_wheels(address) else []


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
        lines += ['format = "flat"'] if _is_folder_of_wheels(address) else []
    if DEFAULT in indexes.addresses:
        address = indexes.addresses[DEFAULT]
        lines += ["[[tool.uv.index]]", f'name = "{DEFAULT}"', f'url = "{address}"', "default = true"]
        lines += ['format = "flat"'] if _is_folder_of_wheels(address) else []
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


def install(python: Path, locked: list[LockedPackage], indexes: Indexes, folder: Path, offline: bool) -> None:
    """Install exactly the locked wheels into the environment of `python`, every one checked against its hash."""
    for alias in sorted({package.index for package in locked}):
        own = [package for package in locked if package.index == alias]
        requirements = folder / f"requirements-{alias}.txt"
        address = indexes.address(alias, own[0].name)
        requirements.write_text(_from_folder(own, address) or export(own), encoding="utf-8")
        arguments = [*_index_options(address), *(["--offline"] if offline else [])]
        done = _pip_install(python, requirements, arguments, folder)
        if done.returncode:
            served = Packages(requirements=(), index={package.name: alias for package in own})
            raise uv_error("install", done, indexes, served)


def install_files(python: Path, locked: list[LockedPackage], wheels: list[Path], folder: Path) -> None:
    """Install locked wheels, each alone in one of the folders, and checked against its hash; no network."""
    requirements = folder / "requirements-kept.txt"
    requirements.write_text(export(locked), encoding="utf-8")
    arguments = ["--no-index", "--offline", *(part for each in wheels for part in ("--find-links", str(each)))]
    done = _pip_install(python, requirements, arguments, folder, OWN_INDEXES)
    if done.returncode:
        raise uv_error("install", done, Indexes(addresses={}))


def _pip_install(
    python: Path, requirements: Path, more: list[str], folder: Path, without: frozenset[str] = frozenset()
) -> subprocess.CompletedProcess[str]:
    arguments = ["pip", "install", "--quiet", "--python", str(python), "--require-hashes", "--no-deps"]
    arguments += ["--only-binary", ":all:", "--compile-bytecode", "-r", str(requirements)]
    return uv([*arguments, *more], folder, without)


def _is_folder_of_wheels(address: str | None) -> bool:
    """Whether an address is a plain folder, and not a mirror with an index of its own."""
    if not (address and address.startswith("file:")):
        return False
    return not Path(unquote(urlsplit(address).path), "index.html").exists()


def _from_folder(locked: list[LockedPackage], address: str | None) -> str:
    """The locked files themselves as requirements, where they lie in a folder: uv knows no hashes there before it has
    chosen, and would choose the best wheel for this host."""
    if not (address and _is_folder_of_wheels(address)):
        return ""
    folder = address.rstrip("/")
    return "".join(f"{p.name} @ {folder}/{quote(p.file)} --hash=sha256:{p.sha256}\n" for p in locked)


def _index_options(address: str | None) -> list[str]:
    if address and _is_folder_of_wheels(address):
        return ["--no-index"]
    # named twice: as the first index too, or one of the user's own (UV_EXTRA_INDEX_URL) would be asked before it
    return ["--index", address, "--default-index", address] if address else []


def export(locked: list[LockedPackage]) -> str:
    """Hash-pinned requirements, as pip and uv read them."""
    return "".join(f"{p.name}=={p.version} --hash=sha256:{p.sha256}\n" for p in locked)


CARRY = "or carry it over from a machine with network: envctl bundle there, envctl unbundle here"
NOTHING = Packages(requirements=(), index={})


def uv_error(
    step: str, done: subprocess.CompletedProcess[str], indexes: Indexes, packages: Packages = NOTHING
) -> Exception:
    """uv's failure as one of ours: no solution (3), or an index that gave no answer or not the locked file (4)."""
    lines = [line.strip(" ×├╰─▶│") for line in done.stderr.splitlines() if line.strip()]
    because = [Reason(text=line, source="uv") for line in lines[:8]]
    text = done.stderr.lower()
    alias = _guilty(text, indexes, packages)
    if "no space left" in text:
        do = ["free some space, or choose another cache folder (ENVCTL_CACHE, UV_CACHE_DIR)"]
        return HostLacks(f"could not {step} the packages: no space left", because=because, do=do)
    if "network was disabled" in text:
        do = ["leave --offline out once: what was fetched is kept", CARRY]
        return HostLacks(f"could not {step} the packages without network", because=because, do=do)
    lacks = [*LACKING, *(f"there is no version of {requirement}" for requirement in packages.requirements)]
    if any(mark in text for mark in lacks):
        what = f"could not {step} the packages: the index ({alias}) does not have them"
        return HostLacks(what, because=because, do=ways_out(alias))
    if any(mark in text for mark in UNREACHABLE):
        do = ["check network, proxy and certificate settings", *ways_out(alias)]
        return HostLacks(f"could not {step} the packages: the index ({alias}) gave no answer", because=because, do=do)
    if step == "lock" and "no solution found" in text:
        do = ["pin one of the versions that exclude each other: --pin NAME=VERSION, or for example --cudnn 9.3"]
        return NoStack("the Python packages of this stack cannot stand together", because=because, do=do)
    return HostLacks(f"could not {step} the packages", because=because)


def _guilty(text: str, indexes: Indexes, packages: Packages) -> str:
    """The alias of the index that uv complains of: by its address, else by a package it serves, else the default."""
    for alias, address in indexes.addresses.items():
        parts = urlsplit(address)
        if (parts.netloc.rpartition("@")[2] or unquote(parts.path)).lower() in text:
            return alias
    if lacked := LACKED.search(text):
        return packages.index.get(lacked["there"] or lacked["found"], DEFAULT)
    named = [alias for name, alias in packages.index.items() if re.search(rf"\b{re.escape(name)}\b", text)]
    return named[0] if named else DEFAULT
