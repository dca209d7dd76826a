"""Built engines that are kept: found again by everything that they depend on, whole or not at all.

An engine file is good for the model's bytes (external weights too), the environment's lock, the build's options, and
the GPU and driver that it was built with. Timing caches, which shorten the next build of any model, are kept by the
same things without the model.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from envctl import __version__
from envctl.host import HostFacts
from envctl.job import Job, Result
from envctl.model import ModelFacts
from envctl.tree import cache_root, disk_errors, touch
from envctl.workflow import kept
from envctl.workflow.ask import Ask
from envctl.workflow.prepare import Prepared
from envctl.workflow.source import digest

KIND, TIMING, KNOWN = "plans", "model.timing", "known.timing"
HOST = ("gpu", "driver", "arch")


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """What a built engine depends on: `built` with the model, `timed` without."""

    parts: dict[str, Any]

    @property
    def built(self) -> str:
        """The name of the engine's folder in the cache."""
        return kept.name_of(self.parts)

    @property
    def timed(self) -> str:
        """The name of the timing cache's folder."""
        return kept.name_of({name: value for name, value in self.parts.items() if name not in ("model", "options")})


def key_for(facts: ModelFacts, prepared: Prepared, options: dict[str, Any], host: HostFacts) -> Key:
    """The key of what a build with these options would make."""
    build = {name: value for name, value in options.items() if name not in ("threads", "timing", "read_only")}
    return Key(
        parts={
            "envctl": __version__,
            "model": {path.name: digest(path) for path in facts.files()},
            "lock": prepared.environment.lock.digest,
            "options": build,
            "host": {name: host.value(name) for name in HOST} | {"gpus": _names(host)},
        }
    )


def _names(host: HostFacts) -> list[str]:
    """The products' names of the GPUs here: two of one compute capability are not one GPU."""
    answer = host.facts["nvml"].value if "nvml" in host.facts else None
    return [str(gpu.get("name")) for gpu in (answer or {}).get("gpus", [])]


def find(key: Key, folder: Path) -> Result | None:
    """The kept engine in a job's folder; None when there is none, or it is not whole."""
    found = kept.find(KIND, key.built, folder)
    told = {"from": f"the cache of built engines ({key.built[:12]})"}
    return replace(found, read_back=found.read_back | told) if found else None


def keep(key: Key, result: Result) -> None:
    """Keep a build under its key."""
    kept.keep(KIND, key.built, key.parts, result)


def in_ci(ask: Ask) -> bool:
    """Whether nothing may be changed that a later run would build upon: --ci, or CI=true as all CI services set it."""
    return ask.ci or os.environ.get("CI", "").lower() in ("1", "true")


def lend_timing(key: Key, job: Job, ask: Ask) -> None:
    """Give a build the timing cache of its kind, where one was kept."""
    there = cache_root() / "timing" / key.timed / TIMING
    job.options["read_only"] = in_ci(ask)
    if there.is_file():
        with disk_errors(job.folder):
            job.folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(there, job.folder / KNOWN)
            (job.folder / KNOWN).chmod(0o644)
        job.options["timing"] = KNOWN
        touch(there.parent)


def take_timing(key: Key, result: Result, ask: Ask) -> Result:
    """Keep the timing cache that a build wrote, which is no artifact of the user's; the result without it."""
    made = next((path for path in result.artifacts if path.name == TIMING), None)
    if made is None:
        return result
    if not in_ci(ask):
        folder = cache_root() / "timing" / key.timed
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            partial = folder / f".partial-{os.getpid()}"
            shutil.copyfile(made, partial)
            partial.replace(folder / TIMING)
    return replace(result, artifacts=tuple(path for path in result.artifacts if path != made))
