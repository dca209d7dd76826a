"""Jobs for the `echo` adapter (an engine without an engine), and the environments they run in: numpy alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envctl import environment, lock
from envctl.aliases import Indexes
from envctl.environment import Environment
from envctl.host import interpreters, read_host
from envctl.job import Job, Limits, Step
from tests import wheelhouse

PYTHONS = [minor for minor in interpreters() if int(minor.split(".")[1]) >= 8]
NEWEST = PYTHONS[0]
ROOMY = Limits(memory=2 << 30, seconds=60)
X = np.arange(24, dtype=np.float32).reshape(3, 2, 4)


def with_numpy(python: str) -> Environment:
    """An environment with numpy alone, made by envctl itself from the real index and kept in the tests' cache."""
    host, recipe, indexes = read_host(), wheelhouse.spec("numpy"), Indexes(addresses={})
    platform = lock.platform_for(host.value("arch"), host.value("glibc"))
    made = lock.find_or_make(
        wheelhouse.stack(python), recipe, platform, indexes, offline=False, refresh=False, say=[].append
    )
    return environment.find_or_make(made, interpreters()[python], indexes, offline=False, say=[].append)


def job(
    folder: Path,
    *,
    step: Step = "infer",
    limits: Limits = ROOMY,
    adapter: str = "echo",
    given: Sequence[str] = ("x",),
    **script: Any,
) -> Job:
    """A job in `folder`/job whose model is the document `script`, with the arrays `given`, all like X."""
    source = folder / "model.json"
    source.write_text(json.dumps({"do": "pass", **script}), encoding="utf-8")
    made = Job(
        folder=folder / "job",
        step=step,
        adapter=adapter,
        source=source,
        companions=(),
        limits=limits,
        inputs=tuple(given),
    )
    (made.folder / "inputs").mkdir(parents=True)
    for index in range(len(given)):
        np.save(made.folder / "inputs" / f"{index}.npy", X + index)
    made.write()
    return made
