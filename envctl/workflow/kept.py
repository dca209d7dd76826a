"""Results of jobs that are kept: found again by the name of everything that they depend on, whole or not at all.

<kind>/<name>/kept.json   what the worker said, what the name stands for, and each file's digest
<kind>/<name>/FILE …      the artifacts
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from envctl.job import PROTOCOL, Result
from envctl.runner import WORKER
from envctl.tree import cache_root, canonical_json, disk_errors, sha256_of, touch

NOTE = "kept.json"


def name_of(parts: dict[str, Any]) -> str:
    """The name that stands for these parts, and for what the worker does with them."""
    whole = parts | {"protocol": PROTOCOL, "worker": _worker()}
    return hashlib.sha256(canonical_json(whole).encode()).hexdigest()


@cache
def _worker() -> str:
    """The digest of the worker and its adapters: what they do is part of what comes of a job."""
    files = sorted(path for path in WORKER.rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def find(kind: str, name: str, folder: Path) -> Result | None:
    """The kept result with its files copied into a job's folder; None when there is none, or it is not whole."""
    kept = cache_root() / kind / name
    try:
        told = json.loads((kept / NOTE).read_text(encoding="utf-8"))
        whole = all(sha256_of(kept / file) == digest for file, digest in told["files"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        whole = False
    if not whole:
        shutil.rmtree(kept, ignore_errors=True)
        return None
    with disk_errors(folder):
        (folder / "artifact").mkdir(parents=True, exist_ok=True)
        for file in told["files"]:
            shutil.copyfile(kept / file, folder / "artifact" / file)
    touch(kept)
    return Result(
        status="ok",
        message="",
        folder=folder,
        artifacts=tuple(folder / "artifact" / file for file in told["files"]),
        versions=told["versions"],
        read_back=told["read_back"],
        sandbox=told["sandbox"],
    )


def has(kind: str, name: str) -> bool:
    """Whether something is kept under that name; its files are not looked at."""
    return (cache_root() / kind / name / NOTE).is_file()


def keep(kind: str, name: str, parts: dict[str, Any], result: Result) -> None:
    """Keep a result under its name; whoever makes the same one at the same time wins or loses, and both are right."""
    root = cache_root() / kind
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=root))
        try:
            for made in result.artifacts:
                shutil.copyfile(made, partial / made.name)
            note = {
                "of": parts,
                "files": {made.name: sha256_of(made) for made in result.artifacts},
                "versions": result.versions,
                "read_back": result.read_back,
                "sandbox": result.sandbox,
            }
            (partial / NOTE).write_text(canonical_json(note), encoding="utf-8")
            partial.chmod(0o755)
            if not (root / name).exists():
                partial.replace(root / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
