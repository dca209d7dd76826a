"""What routes made, kept: the same source, environment, adapter and options give the same model again.

converted/<key>/result.json   the worker's own account
converted/<key>/artifact/     the model
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from envctl.job import PROTOCOL, Job, Result, read_result
from envctl.runner import WORKER
from envctl.tree import cache_root, canonical_json, disk_errors, touch
from envctl.workflow.prepare import Prepared

FOLDER = "converted"
KEPT = ("result.json", "artifact")


def key(job: Job, prepared: Prepared, source_sha256: str) -> str:
    """The name of what a job makes: everything that it depends on."""
    # a job's caps and threads decide whether it ends, not what it makes
    options = {name: value for name, value in job.options.items() if name != "threads"}
    lock = prepared.environment.lock.digest
    parts = [PROTOCOL, _worker(), source_sha256, lock, job.adapter, options]
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


@cache
def _worker() -> str:
    """The digest of the adapters: what they do is part of what comes of them."""
    files = sorted(path for path in WORKER.rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def fetch(name: str, folder: Path) -> Result | None:
    """What is kept under that name, put into a job's folder as if the job had just been done; None where nothing is."""
    kept = cache_root() / FOLDER / name
    if not (kept / "result.json").is_file():
        return None
    with disk_errors(folder):
        shutil.copytree(kept, folder, dirs_exist_ok=True, copy_function=_link)
    touch(kept / "result.json")
    return read_result(folder)


def keep(name: str, folder: Path) -> None:
    """Keep what a job made: whole or not at all."""
    root = cache_root() / FOLDER
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{name[:12]}.partial-", dir=root))
        shutil.copy2(folder / "result.json", partial)
        shutil.copytree(folder / "artifact", partial / "artifact", copy_function=_link)
        try:
            partial.rename(root / name)
        except OSError:  # somebody else was faster
            shutil.rmtree(partial, ignore_errors=True)


def _link(source: str, target: str) -> None:
    """A second name for the file, which nobody writes to again; a copy where the file system has no second names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
