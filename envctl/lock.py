"""Stack -> Lock: the exact wheels of an environment, as canonical JSON that names no address and no time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envctl.aliases import Indexes
from envctl.errors import HostLacks
from envctl.index import LockedPackage, resolve
from envctl.tree import cache_root, canonical_json, write_whole

if TYPE_CHECKING:
    from envctl.solver import Stack
    from envctl.spec import ImageSpec, Packages

FORMAT = 1
# Wheels are chosen for the oldest C library that today's engines are built for, not for this host's, so that the
# same lock comes out everywhere. openvino's aarch64 wheels start at 2.35 (../shared/images.md, section 5).
PLATFORMS = {"x86_64": ("x86_64-manylinux_2_28", (2, 28)), "aarch64": ("aarch64-manylinux_2_35", (2, 35))}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """One environment: CPython's minor version, platform and wheels. `digest` is its identity."""

    python: str
    platform: str
    packages: tuple[LockedPackage, ...]

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        """The lock as canonical JSON: the same bytes on every machine."""
        return canonical_json({"format": FORMAT, **asdict(self)})

    def version(self, name: str) -> str | None:
        """The locked version of a distribution."""
        return next((package.version for package in self.packages if package.name == name), None)


def parse(text: str) -> Lock:
    """The lock written in canonical JSON."""
    data = json.loads(text)
    packages = tuple(LockedPackage(**package) for package in data["packages"])
    return Lock(python=data["python"], platform=data["platform"], packages=packages)


def platform_for(arch: str | None, glibc: str | None) -> str:
    """uv's name of the platform that wheels are chosen for; raises `HostLacks` where no such wheel can run."""
    if arch not in PLATFORMS:
        raise HostLacks(f"no engine wheels for {arch or 'an unknown architecture'}", do=[f"use {', '.join(PLATFORMS)}"])
    platform, floor = PLATFORMS[arch]
    if glibc is None or tuple(int(part) for part in glibc.split(".")[:2]) < floor:
        what = f"this host's C library ({'glibc ' + glibc if glibc else 'not glibc'}) is older than the wheels need"
        raise HostLacks(what, do=["use --runner docker, or a system with glibc >= " + ".".join(map(str, floor))])
    return platform


def find_or_make(
    stack: Stack,
    spec: ImageSpec,
    platform: str,
    indexes: Indexes,
    *,
    offline: bool,
    refresh: bool,
    say: Callable[[str], None],
) -> Lock:
    """The lock for a stack: the one kept from the last time the same was asked, or a new one from the index."""
    packages = spec.packages(stack)
    constraints = [name + ",".join(specs) for name, specs in sorted(stack.constraints.items())]
    kept = cache_root() / "locks" / f"{_question(packages, constraints, stack.version('python'), platform)}.json"
    if kept.is_file() and not refresh:
        return parse(kept.read_text(encoding="utf-8"))
    say(f"choosing and locking the packages of {spec.title} {stack.version(spec.engine)}")
    locked = resolve(packages, constraints, stack.version("python"), platform, indexes, offline)
    lock = Lock(python=stack.version("python"), platform=platform, packages=tuple(locked))
    write_whole(kept, lock.text())
    return lock


def _question(packages: Packages, constraints: list[str], python: str, platform: str) -> str:
    """What the index is asked, as a digest: the same question is answered from the kept lock, without network."""
    asked = canonical_json([FORMAT, packages.requirements, packages.index, constraints, python, platform])
    return hashlib.sha256(asked.encode()).hexdigest()[:32]


def write(lock: Lock, path: Path) -> None:
    """Write the lock as a file."""
    write_whole(path, lock.text())
