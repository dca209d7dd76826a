"""The folder of a run's jobs, in the cache."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from envctl.errors import JobFailed
from envctl.tree import cache_root, disk_errors


@dataclass(kw_only=True, slots=True)
class JobFolder:
    """A folder for jobs, and whether it stays when they are done."""

    path: Path
    keep: bool


@contextmanager
def job_folder(name: str, *, keep: bool = False) -> Iterator[JobFolder]:
    """A new folder. In the end it goes, but where a job failed or `keep` is set, from the beginning or meanwhile.

    Bad input, a full disk and Ctrl-C leave nothing that is worth a look.
    """
    jobs = cache_root() / "jobs"
    with disk_errors(jobs):
        jobs.mkdir(parents=True, exist_ok=True)
        made = JobFolder(path=Path(tempfile.mkdtemp(prefix=f"{name}-", dir=jobs)), keep=keep)
    try:
        yield made
    except JobFailed:
        made.keep = True
        raise
    finally:
        if not made.keep:
            shutil.rmtree(made.path, ignore_errors=True)
