"""The exact Debian packages of a base: what apt would install of a suite today, with the hash of every file.

mmdebstrap simulates the installation: the same tool, options and solver that make the base, with signatures checked,
without root and for any architecture (its mode "chrootless" runs nothing of the packages). The sets were compared with
those of bases really made (tests/test_debian.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envctl.errors import HostLacks, Reason
from envctl.tree import cache_root, canonical_json, write_whole

if TYPE_CHECKING:
    from envctl.base import Base

ALIAS = "debian"  # of the mirror, beside the aliases of Python indexes; mmdebstrap has its own default
VARIANT = "minbase"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
FRESH_SECONDS = 24 * 3600
INST = re.compile(r"^Inst (?P<name>\S+) (?:\[[^\]]*\] )?\((?P<version>\S+) .*\[(?P<arch>\w+)\]\)")
FIELD = re.compile(r"^(Package|Version|Architecture|Size|SHA256): (.*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class DebianPackage:
    """One Debian package: name, version and architecture as dpkg writes them; size in bytes and hash of its .deb."""

    name: str
    version: str
    arch: str
    size: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}={self.version}={self.arch}"


def recipe_digest(base: Base) -> str:
    """The SHA-256 of what decides which packages a base has, the mirror apart."""
    recipe = {"suite": base.suite, "variant": VARIANT, "packages": sorted(base.packages), "python": base.python}
    return hashlib.sha256(canonical_json(recipe).encode()).hexdigest()


def packages_of(
    base: Base, arch: str, mirror: str | None, *, offline: bool, fresh: bool, say: Callable[[str], None]
) -> tuple[DebianPackage, ...]:
    """All packages of a base for an architecture (as Python names it), sorted by name.

    The mirror is asked once a day, with `fresh` always; `offline` takes the last answer.
    """
    debian = ARCHITECTURES[arch]
    key = hashlib.sha256(f"{recipe_digest(base)} {debian} {mirror or ''}".encode()).hexdigest()[:32]
    path = cache_root() / "debian" / f"{key}.json"
    if (kept := _kept(path)) and (offline or (not fresh and _is_young(path))):
        return kept
    if offline:
        do = ["leave --offline out once: what was asked is kept", "or lock without a base: --base none"]
        raise HostLacks(f"the packages of {base.name} are not known here", do=do)
    say(f"asking the mirror for the packages of {base.name} ({debian})")
    found = _simulate(base, debian, mirror)
    write_whole(path, canonical_json([asdict(package) for package in found]))
    return found


def _is_young(path: Path) -> bool:
    return 0 <= time.time() - path.stat().st_mtime < FRESH_SECONDS


def _kept(path: Path) -> tuple[DebianPackage, ...]:
    with suppress(OSError, ValueError, TypeError):
        return tuple(DebianPackage(**package) for package in json.loads(path.read_bytes()))
    return ()


def _simulate(base: Base, debian: str, mirror: str | None) -> tuple[DebianPackage, ...]:
    if not shutil.which("mmdebstrap"):
        do = ["apt-get install mmdebstrap", "or lock without a base: --base none"]
        raise HostLacks("mmdebstrap is not installed", do=do)
    with tempfile.TemporaryDirectory(prefix="envctl-debian-") as name:
        root = Path(name) / "root"
        command = ["mmdebstrap", "--verbose", "--simulate", "--mode=chrootless", f"--variant={VARIANT}"]
        command += [f"--architectures={debian}", "--skip=cleanup", "--format=directory"]
        command += [f"--include={','.join(base.packages)}", base.suite, str(root), *([mirror] if mirror else [])]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise _failed(base, done.stdout + done.stderr)
        wanted = set(_chosen((done.stdout + done.stderr).splitlines()))
        found = {key: package for key, package in _published(root) if key in wanted}
    for lacking in sorted(wanted - set(found)):
        raise HostLacks(f"the mirror does not say the hash of {'='.join(lacking)}", do=_ways_out())
    return tuple(found[key] for key in sorted(found))


def _chosen(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Name, version and architecture of each package that apt said it would install."""
    for line in lines:
        if inst := INST.match(line):
            yield inst["name"], inst["version"], inst["arch"]


def _published(root: Path) -> Iterator[tuple[tuple[str, str, str], DebianPackage]]:
    """Every package in the indexes that apt fetched and whose signatures it checked."""
    for index in sorted((root / "var/lib/apt/lists").glob("*_Packages")):
        for stanza in index.read_text(encoding="utf-8").split("\n\n"):
            fields: dict[str, str] = dict(FIELD.findall(stanza))
            if {"Package", "Version", "Architecture", "Size", "SHA256"} <= set(fields):
                key = fields["Package"], fields["Version"], fields["Architecture"]
                size, digest = int(fields["Size"]), fields["SHA256"]
                yield key, DebianPackage(name=key[0], version=key[1], arch=key[2], size=size, sha256=digest)


def _failed(base: Base, text: str) -> HostLacks:
    lines = [line for line in text.splitlines() if re.match(r"(E|Err|W):", line)] or text.splitlines()
    because = [Reason(text=line, source="mmdebstrap") for line in lines[-5:]]
    return HostLacks(f"could not find the packages of {base.name}", because=because, do=_ways_out())


def _ways_out() -> list[str]:
    return [
        "check network and proxy settings",
        f"name another mirror: --index {ALIAS}=URL, or ENVCTL_INDEX_{ALIAS.upper()}=URL",
        "or lock without a base: --base none",
    ]
