"""What an index publishes about a distribution: its releases, their files, and what follows from tags and metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.parser import HeaderParser
from functools import cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name
from packaging.version import Version

# minor versions of CPython 3 that are told apart; a range that reaches the last one has no upper end
MINORS = range(4, 31)
EXTRA = re.compile(r"""\bextra\s*==\s*["']([^"']+)["']""")
ANY, ANY_PYTHON = ">=0", ">=3"
LEGACY_GLIBC = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
MANYLINUX = re.compile(r"(manylinux1|manylinux2010|manylinux2014|manylinux_(\d+)_(\d+))_x86_64")


class Malformed(ValueError):
    """An index's answer is not what the simple repository API allows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file of a release. `metadata`: the SHA-256 of the METADATA that is offered beside it, "" when the index gives
    no hash of it, None when it offers none."""

    name: str
    version: Version
    url: str
    tags: frozenset[Tag] = frozenset()
    requires_python: str = ""
    yanked: bool = False
    sha256: str = ""
    metadata: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """The releases of a distribution, with their files; `requires` are the Requires-Dist lines of those that were read,
    of one wheel or of two."""

    distribution: str
    alias: str
    releases: Mapping[Version, tuple[File, ...]]
    requires: Mapping[Version, tuple[tuple[str, ...], ...]] = field(default_factory=dict)

    def source(self, version: Version | str) -> str:
        """How the matrix names a release of it."""
        return f"{self.alias}:{self.distribution}=={version}"

    def finals(self) -> list[Version]:
        """The releases that a person would install, newest first: no pre-releases, nothing yanked."""
        good = [version for version in self.releases if not version.is_prerelease and not self.yanked(version)]
        return sorted(good, reverse=True)

    def yanked(self, version: Version) -> bool:
        """Whether all files of a release were withdrawn."""
        return all(file.yanked for file in self.releases[version])


# --- what follows from files


def linux_wheels(files: Iterable[File]) -> list[File]:
    """The wheels that a glibc Linux on x86-64 can install."""
    return [file for file in files if not file.yanked and any(_on_linux(tag.platform) for tag in file.tags)]


def _on_linux(platform: str) -> bool:
    return platform in ("any", "linux_x86_64") or bool(MANYLINUX.fullmatch(platform))


def pythons(files: Iterable[File]) -> frozenset[int]:
    """The minor versions of CPython 3 that can install one of the Linux wheels: by tag and by Requires-Python."""
    return frozenset(minor for file in linux_wheels(files) for minor in MINORS if _installs(file, minor))


def _installs(file: File, minor: int) -> bool:
    fits = any((tag.interpreter, tag.abi) in _interpreter_tags(minor) for tag in file.tags)
    return fits and _allowed(file.requires_python, minor)


@cache
def _interpreter_tags(minor: int) -> frozenset[tuple[str, str]]:
    """Interpreter and ABI tags that CPython 3.MINOR takes (not its free-threaded build)."""
    abis = [f"cp3{minor}", f"cp3{minor}m"] if minor < 8 else [f"cp3{minor}"]
    own = cpython_tags((3, minor), abis=abis, platforms=["any"])
    return frozenset((t.interpreter, t.abi) for t in (*own, *compatible_tags((3, minor), f"cp3{minor}", ["any"])))


@cache
def _allowed(requires_python: str, minor: int) -> bool:
    """Whether some patch release of CPython 3.MINOR is admitted; what cannot be read admits all, as in pip."""
    try:
        wanted = SpecifierSet(requires_python)
    except InvalidSpecifier:
        return True
    return any(wanted.contains(f"3.{minor}.{patch}") for patch in (0, 1, 99))


def python_range(minors: Iterable[int]) -> list[str]:
    """Minor versions as specifiers, one for each run without a gap."""
    runs: list[list[int]] = []
    for minor in sorted(minors):
        if runs and runs[-1][-1] == minor - 1:
            runs[-1].append(minor)
        else:
            runs.append([minor])
    if len(runs) == 1 and runs[0] == list(MINORS):
        return [ANY_PYTHON]
    ends = ["" if run[-1] == MINORS[-1] else f",<3.{run[-1] + 1}" for run in runs]
    return [f">=3.{run[0]}{end}" for run, end in zip(runs, ends, strict=True)]


def glibc_floor(files: Iterable[File]) -> str | None:
    """The oldest glibc with which every Python of the release has a wheel; None where no wheel asks for one.

    NumPy 1.21.6 wants 2.12 on CPython 3.9 and 2.17 on 3.10: it is 2.17 that holds for the release.
    """
    wheels = linux_wheels(files)
    floors = [min(_floor(file) for file in wheels if _installs(file, minor)) for minor in pythons(wheels)]
    highest = max(floors, default=(0, 0))
    return ".".join(map(str, highest)) if highest > (0, 0) else None


def _floor(file: File) -> tuple[int, int]:
    found = [match for tag in file.tags if (match := MANYLINUX.fullmatch(tag.platform))]
    return min((LEGACY_GLIBC.get(m[1]) or (int(m[2]), int(m[3])) for m in found), default=(0, 0))


# --- metadata


def parse_metadata(text: str) -> tuple[str, ...]:
    """The Requires-Dist lines of a METADATA file; raises `Malformed`."""
    headers = HeaderParser().parsestr(text)
    if not headers.get("Metadata-Version"):
        raise Malformed("a metadata file has no Metadata-Version")
    return tuple(str(line) for line in headers.get_all("Requires-Dist", []))


def requirements(lines: Iterable[str], minors: Iterable[int]) -> dict[str, list[str]]:
    """What is required on Linux x86-64 whatever the Python: name -> specifiers, any of which holds on some Python.

    Extras, direct references and what only some Pythons need are left out.
    """
    minors = sorted(minors)
    needed = _needed(lines, minors, "")
    always = {name: sets for name, sets in needed.items() if len(sets) == len(minors)}
    return {name: _distinct(sets) for name, sets in always.items()}


def optional_requirements(lines: Iterable[str], minors: Iterable[int]) -> dict[str, list[str]]:
    """The same for what some extra or some Python needs."""
    lines = list(lines)
    extras = {"", *(extra for line in lines for extra in EXTRA.findall(line))}
    found: dict[str, list[str]] = {}
    for extra in sorted(extras):
        for name, sets in _needed(lines, sorted(minors), extra).items():
            found[name] = list(dict.fromkeys([*found.get(name, []), *_distinct(sets)]))
    return found


def _needed(lines: Iterable[str], minors: list[int], extra: str) -> dict[str, list[SpecifierSet]]:
    """What each Python needs of a distribution, by its name."""
    found: dict[str, list[SpecifierSet]] = {}
    wanted = [requirement for requirement in map(_requirement, lines) if requirement and not requirement.url]
    for minor in minors:
        here: dict[str, SpecifierSet] = {}
        for each in wanted:
            if each.marker is None or each.marker.evaluate(_environment(minor, extra)):
                own = canonicalize_name(each.name)
                here[own] = here.get(own, SpecifierSet()) & each.specifier
        for name, specifiers in here.items():
            found.setdefault(name, []).append(specifiers)
    return found


def _requirement(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _environment(minor: int, extra: str) -> dict[str, str]:
    return {
        "python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "sys_platform": "linux", "platform_system": "Linux",
        "platform_machine": "x86_64", "os_name": "posix", "platform_release": "", "platform_version": "",
        "extra": extra,
    }  # fmt: skip


def _distinct(sets: Iterable[SpecifierSet]) -> list[str]:
    return list(dict.fromkeys(ordered(each) for each in sets))


def derived(files: Iterable[File], readings: Iterable[Iterable[str]] = ()) -> dict[str, tuple[str, ...]]:
    """A release as claims: python and glibc by its wheels, and every distribution that it requires whatever happens.

    `readings` are the Requires-Dist lines of one wheel each; where wheels differ, any of what they say will do.
    """
    minors = pythons(files)
    found = {"python": python_range(minors)} if minors else {}
    needed = [requirements(lines, minors) for lines in readings]
    for name in sorted({name for each in needed for name in each}):
        if all(name in each for each in needed):
            specs = list(dict.fromkeys(spec for each in needed for spec in each[name]))
            found[name] = specs if all(specs) else [ANY]
    floor = glibc_floor(files)
    found |= {"glibc": [f">={floor}"]} if floor else {}
    return {name: tuple(specs) for name, specs in found.items()}


def ordered(specifiers: SpecifierSet) -> str:
    """A specifier set as the matrix writes it: lower end first."""
    rank = ("===", "==", "~=", ">=", ">", "!=", "<", "<=")
    return ",".join(map(str, sorted(specifiers, key=lambda each: (rank.index(each.operator), each.version))))
