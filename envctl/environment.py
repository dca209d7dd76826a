"""Lock -> something that can run, kept under the lock's digest, whole or not there.

environments/<key>/venv/         for the local runner: a virtual environment; scripts find their interpreter beside them
environments/<key>/prefix/       for containers: the folder to mount at PREFIX, the same files as in the lock's image
environments/<key>/parts.json    the folders in it that are empty: what of store/trees is to be mounted over each
environments/<key>/lock.json     what is in it
environments/<key>.partial-…/    one that is being made; the next maker removes what a killed one left
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envctl.aliases import Indexes
from envctl.errors import HostLacks, Reason
from envctl.lock import Lock
from envctl.package import LockedPackage
from envctl.tree import cache_root, canonical_json, disk_errors, touch

if TYPE_CHECKING:
    from envctl.oci.base_image import BaseImage

LAYOUT = 3  # of the folder; raised when what is in it is arranged otherwise, so that no older one is taken for it


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """An environment that is complete: its lock and its folder. `image` is the id of an image that the local Docker
    has and that holds the same files, "" when there is none."""

    lock: Lock
    folder: Path
    image: str = ""

    @property
    def python(self) -> Path:
        """The environment's interpreter on this host."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def library(self) -> Path:
        """The folder that holds `pythonX.Y/site-packages` on this host."""
        return self.folder / "venv" / "lib"

    @property
    def prefix(self) -> Path:
        """The folder that a container sees at PREFIX."""
        return self.folder / "prefix"

    @property
    def parts(self) -> dict[str, Path]:
        """What a container sees below PREFIX in place of empty folders of `prefix` (relative paths)."""
        return parts_of(self.folder)


def parts_of(folder: Path) -> dict[str, Path]:
    """The same of an environment's folder: parts.json has the path, and the tree whose folder of that path it is."""
    from envctl.oci.store import place

    try:
        kept = json.loads((folder / "parts.json").read_bytes())
    except FileNotFoundError:  # a virtual environment, or an image
        return {}
    return {path: place("trees", tree) / path for path, tree in kept.items()}


def find_or_make(
    lock: Lock, interpreter: Path, indexes: Indexes, *, offline: bool, say: Callable[[str], None]
) -> Environment:
    """The environment of a lock. Makers of the same one wait for each other; a finished one is found without a lock."""
    environment = Environment(lock=lock, folder=cache_root() / "environments" / _key(lock, str(interpreter)))

    def fill(partial: Path) -> None:
        _fill(partial, lock, interpreter, indexes, offline)

    return _found_or_made(environment, lambda: os.access(environment.python, os.X_OK), fill, say)


def is_made(lock: Lock, interpreter: Path) -> bool:
    """Whether the environment of a lock is there for the local runner."""
    return (cache_root() / "environments" / _key(lock, str(interpreter)) / "lock.json").is_file()


def find_or_stage(
    lock: Lock, base: BaseImage, indexes: Indexes, *, offline: bool, say: Callable[[str], None]
) -> Environment:
    """The environment of a lock for containers of a base: the image when Docker has it, else the folder to mount."""
    folder = cache_root() / "environments" / _key(lock, base.identity)
    environment = Environment(lock=lock, folder=folder, image=_built(lock, base))

    def fill(partial: Path) -> None:
        _stage(partial, lock, base, indexes, offline, say)

    def whole() -> bool:
        return environment.prefix.is_dir() and all(part.is_dir() for part in environment.parts.values())

    if not environment.image:
        _found_or_made(environment, whole, fill, say)
        for path, part in environment.parts.items():
            touch(part.parents[path.count("/")])  # the tree: it is used as long as this environment is
    return environment


def _built(lock: Lock, base: BaseImage) -> str:
    """The id of the lock's image in Docker. What it must be is known here: a label alone would prove nothing."""
    from envctl.oci.recipe import Recipe

    recipe = Recipe(lock=lock, base=base)
    if not recipe.was_measured:
        return ""
    from envctl.oci import daemon
    from envctl.oci.assemble import known

    image = known(recipe)
    ids = (image.config_descriptor.digest, image.digest) if image else ()
    return next((each for each in ids if daemon.image(each)), "")


def _stage(
    partial: Path, lock: Lock, base: BaseImage, indexes: Indexes, offline: bool, say: Callable[[str], None]
) -> None:
    from envctl.oci import wheels
    from envctl.oci.contents import Contents
    from envctl.oci.recipe import Recipe
    from envctl.oci.staged import stage

    def bring() -> dict[str, Path]:
        return wheels.bring(lock, indexes, (), offline=offline, say=say)

    (partial / "prefix").mkdir()
    with closing(Contents(lock, base, Recipe(lock=lock, base=base).place, bring, say)) as contents:
        parts = stage(contents, partial / "prefix")
    (partial / "parts.json").write_text(canonical_json(parts), encoding="utf-8")


def _found_or_made(
    environment: Environment, whole: Callable[[], bool], fill: Callable[[Path], None], say: Callable[[str], None]
) -> Environment:
    """The environment; makers of the same one wait for each other."""
    folder = environment.folder

    def found() -> bool:
        return (folder / "lock.json").is_file() and whole()

    if found():
        touch(folder / "lock.json")
        return environment
    from filelock import FileLock

    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        guard = FileLock(f"{folder}.lock")
        if not _try(guard):
            say("waiting for another envctl that makes the same environment")
            guard.acquire()
        try:
            if not found():
                _make(environment, fill, say)
        finally:
            guard.release()
    return environment


def _try(guard: object) -> bool:
    from filelock import BaseFileLock, Timeout

    assert isinstance(guard, BaseFileLock)
    try:
        guard.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _key(lock: Lock, under: str) -> str:
    """Digest of the lock, and of the layout and what it stands on: an interpreter's path, or a base."""
    return f"{lock.digest[:24]}-{hashlib.sha256(f'{LAYOUT} {under}'.encode()).hexdigest()[:8]}"


def _make(environment: Environment, fill: Callable[[Path], None], say: Callable[[str], None]) -> None:
    prefix = f"{environment.folder.name}.partial-"
    for left in environment.folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    # a name of its own: the uv of a maker that was killed may be at work for a moment yet
    partial = Path(tempfile.mkdtemp(dir=environment.folder.parent, prefix=prefix))
    try:
        say(f"making an environment of {len(environment.lock.packages)} packages for CPython {environment.lock.python}")
        fill(partial)
        (partial / "lock.json").write_text(environment.lock.text(), encoding="utf-8")
        for path in (partial, *partial.glob("*.json")):  # whatever the umask is: see `_let_others_read`
            path.chmod(0o755 if path.is_dir() else 0o644)
        shutil.rmtree(environment.folder, ignore_errors=True)
        partial.rename(environment.folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _fill(partial: Path, lock: Lock, interpreter: Path, indexes: Indexes, offline: bool) -> None:
    from envctl.install import install
    from envctl.run_uv import uv, uv_error

    venv = partial / "venv"
    arguments = ["venv", "--quiet", "--relocatable", "--no-project", "--python", str(interpreter), str(venv)]
    done = uv(arguments, cwd=partial)
    if done.returncode:
        raise uv_error("make a virtual environment for", done, indexes)
    python = venv / "bin" / "python"
    rest = _from_store(python, lock, partial)
    install(python, rest, indexes, partial, offline)
    _let_others_read(partial)


def _from_store(python: Path, lock: Lock, partial: Path) -> list[LockedPackage]:
    """Install the wheels that the store has, without asking an index; those that it has not come back."""
    from envctl.install import install_files
    from envctl.oci import wheels

    missing = wheels.missing(lock)
    kept = [package for package in lock.packages if package not in missing]
    if kept:
        install_files(python, kept, [wheels.named(package) for package in kept], partial)
    return missing


def _let_others_read(folder: Path) -> None:
    """Whatever the umask was: a container's worker is another user where root calls envctl."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            wanted = mode | (0o555 if mode & 0o100 else 0o444)
            if mode != wanted:  # the file may be uv's own, linked here
                path.chmod(wanted)


def interpreter_for(python: str, found: dict[str, Path]) -> Path:
    """The path of a CPython of that minor version; raises `HostLacks` when the machine has none."""
    if python in found:
        return found[python]
    because = [Reason(text=f"found here: {', '.join(found)}", source="PATH, pyenv, uv")]
    do = [f"uv python install {python}", "or add it to PATH, or leave --python out"]
    raise HostLacks(f"no CPython {python} on this machine", because=because, do=do)
