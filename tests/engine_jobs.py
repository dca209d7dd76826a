"""Jobs for an engine's adapter alone: its environment as `envctl run` makes it, then one step in a worker."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envctl import host as host_module
from envctl import matrix
from envctl.aliases import Indexes
from envctl.cli.pins import read_pins
from envctl.job import Job, Limits, Result, Step
from envctl.runner.local import LocalRunner
from envctl.spec import read_spec
from envctl.workflow.ask import Ask
from envctl.workflow.plan import known_facts, plan_target
from envctl.workflow.prepare import Prepared, prepare

ROOMY = Limits(memory=4 << 30, seconds=120)


class Mute:
    """Nobody listens."""

    def say(self, text: str) -> None: ...
    def planned(self, role: str, plan: Any) -> None: ...
    def prepared(self, role: str) -> None: ...


@cache
def prepared(engine: str, version: str) -> Prepared:
    """An engine's environment in the tests' cache, `version` as the command line takes it."""
    host, runner = host_module.read_host(), LocalRunner()
    pins = read_pins({f"--{read_spec(engine).option}": version}, [])
    ask = Ask(task="verify", engine=engine, pins=pins)
    plan = plan_target(matrix.load(), ask, known_facts(host, runner, None, None), runner, None)
    return prepare(plan, pins, ask, host, Indexes(addresses={}), runner, Mute())


def do(
    step: Step,
    made: Prepared,
    folder: Path,
    source: Path,
    inputs: Mapping[str, NDArray[Any]] | None = None,
    **options: Any,
) -> Result:
    """The result of one step in a sandboxed worker; inputs have the samples first."""
    job = Job(
        folder=folder,
        step=step,
        adapter=made.plan.spec.adapter,
        source=source,
        companions=(),
        limits=ROOMY,
        options=options,
        inputs=tuple(inputs or ()),
    )
    job.write()
    (folder / "inputs").mkdir()
    for index, array in enumerate((inputs or {}).values()):
        np.save(folder / "inputs" / f"{index}.npy", array)
    return LocalRunner().run(job, made.environment)
