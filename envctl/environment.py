"""Lock -> something that can run: a virtual environment, kept under the lock's digest, whole or not there.

environments/<key>/venv/         the environment; its scripts find their interpreter beside them
environments/<key>/container/    the same environment's bin/ and pyvenv.cfg for the CPython of a base image
environments/<key>/lock.json     what is in it
environments/<key>.partial-…/    one that is being made; the next maker removes what a killed one left
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from envctl.aliases import Indexes
from envctl.errors import HostLacks, Reason
from envctl.index import install, uv, uv_error
from envctl.lock import Lock
from envctl.tree import cache_root, disk_errors, touch

# Where an environment stands inside a container; part of its identity there.
PREFIX = "/opt/env"


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """An environment that is complete: its lock and its folder."""

    lock: Lock
    folder: Path

    @property
    def python(self) -> Path:
        """The environment's interpreter on this host."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def library(self) -> Path:
        """The folder that holds `pythonX.Y/site-packages`."""
        return self.folder / "venv" / "lib"


def find_or_make(
    lock: Lock, interpreter: Path, indexes: Indexes, *, offline: bool, say: Callable[[str], None]
) -> Environment:
    """The environment of a lock. Makers of the same one wait for each other; a finished one is found without a lock."""
    folder = cache_root() / "environments" / _key(lock, interpreter)
    environment = Environment(lock=lock, folder=folder)
    if _is_whole(environment):
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
            if not _is_whole(environment):
                _make(environment, interpreter, indexes, offline, say)
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


def _key(lock: Lock, interpreter: Path) -> str:
    """Digest of the lock and, as the environment links to it, of the interpreter."""
    interpreter_key = hashlib.sha256(str(interpreter).encode()).hexdigest()
    return f"{lock.digest[:24]}-{interpreter_key[:8]}"


def _is_whole(environment: Environment) -> bool:
    """Whether it was finished (it has its final name only then) and its interpreter is still there."""
    return (environment.folder / "lock.json").is_file() and os.access(environment.python, os.X_OK)


def _make(
    environment: Environment, interpreter: Path, indexes: Indexes, offline: bool, say: Callable[[str], None]
) -> None:
    prefix = f"{environment.folder.name}.partial-"
    for left in environment.folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    # a name of its own: the uv of a maker that was killed may be at work for a moment yet
    partial = Path(tempfile.mkdtemp(dir=environment.folder.parent, prefix=prefix))
    try:
        say(f"making an environment of {len(environment.lock.packages)} packages for CPython {environment.lock.python}")
        _fill(partial, environment.lock, interpreter, indexes, offline)
        shutil.rmtree(environment.folder, ignore_errors=True)
        partial.rename(environment.folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _fill(partial: Path, lock: Lock, interpreter: Path, indexes: Indexes, offline: bool) -> None:
    venv = partial / "venv"
    arguments = ["venv", "--quiet", "--relocatable", "--no-project", "--python", str(interpreter), str(venv)]
    done = uv(arguments, cwd=partial)
    if done.returncode:
        raise uv_error("make a virtual environment for", done, indexes)
    install(venv / "bin" / "python", list(lock.packages), indexes, partial, offline)
    _write_container_side(partial, lock)
    (partial / "lock.json").write_text(lock.text(), encoding="utf-8")
    _let_others_read(partial)


def _let_others_read(folder: Path) -> None:
    """Whatever the umask was: a container's worker is another user where root calls envctl."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            wanted = mode | (0o555 if mode & 0o100 else 0o444)
            if mode != wanted:  # the file may be uv's own, linked here
                path.chmod(wanted)


def _write_container_side(folder: Path, lock: Lock) -> None:
    """The parts of a virtual environment that name an interpreter, once more for /usr/bin/pythonX.Y of a base."""
    scripts = folder / "container" / "bin"
    scripts.mkdir(parents=True)
    for script in (folder / "venv" / "bin").iterdir():
        if not re.match(r"python|(de)?activate|.*\.bat$", script.name):
            shutil.copy2(script, scripts / script.name, follow_symlinks=False)
    (scripts / "python").symlink_to(f"/usr/bin/python{lock.python}")
    for name in ("python3", f"python{lock.python}"):
        (scripts / name).symlink_to("python")
    config = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {lock.python}\n"
    (folder / "container" / "pyvenv.cfg").write_text(config, encoding="utf-8")


def interpreter_for(python: str, found: dict[str, Path]) -> Path:
    """The path of a CPython of that minor version; raises `HostLacks` when the machine has none."""
    if python in found:
        return found[python]
    because = [Reason(text=f"found here: {', '.join(found)}", source="PATH, pyenv, uv")]
    do = [f"uv python install {python}", "or add it to PATH, or leave --python out"]
    raise HostLacks(f"no CPython {python} on this machine", because=because, do=do)
