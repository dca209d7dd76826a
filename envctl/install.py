"""Locked wheels -> an environment, through uv, every one checked against its hash."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import quote

from envctl.aliases import Indexes, is_folder_of_wheels
from envctl.package import LockedPackage, export
from envctl.recipe import Packages
from envctl.run_uv import OWN_INDEXES, uv, uv_error


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


def _from_folder(locked: list[LockedPackage], address: str | None) -> str:
    """The locked files themselves as requirements, where they lie in a folder: uv knows no hashes there before it has
    chosen, and would choose the best wheel for this host."""
    if not (address and is_folder_of_wheels(address)):
        return ""
    folder = address.rstrip("/")
    return "".join(f"{p.name} @ {folder}/{quote(p.file)} --hash=sha256:{p.sha256}\n" for p in locked)


def _index_options(address: str | None) -> list[str]:
    if address and is_folder_of_wheels(address):
        return ["--no-index"]
    # named twice: as the first index too, or one of the user's own (UV_EXTRA_INDEX_URL) would be asked before it
    return ["--index", address, "--default-index", address] if address else []
