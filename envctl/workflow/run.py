"""`envctl run`: convert, infer or verify a model inside the environment that was asked for."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from envctl import host as host_module
from envctl import matrix
from envctl.errors import BadInput, JobFailed
from envctl.model import ModelFacts
from envctl.tree import cache_root, disk_errors
from envctl.workflow import convert, load_plan
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.environments import plan_and_prepare
from envctl.workflow.outcome import Outcome
from envctl.workflow.plan import choose_runner
from envctl.workflow.record import record
from envctl.workflow.source import read_source
from envctl.workflow.task import check_host, check_target
from envctl.workflow.untold import told
from envctl.workflow.work import Work


def run(
    ask: Ask,
    listener: Listener,
    probes: host_module.Probes,
    perform: Callable[[Work, Listener], None] = convert.perform,
) -> Outcome:
    """Do a task on a model; failures with a name are raised (envctl.errors), verdicts are in the outcome."""
    began = time.perf_counter()
    outcome = Outcome(task=ask.task)
    if ask.model and load_plan.is_plan(ask.model) and ask.task != "convert":
        runner, _ = choose_runner(ask.runner)
        raise load_plan.refuse(ask, ask.model, matrix.load(), host_module.collect(probes), runner)
    facts = told(ask, _read_model(ask), outcome.notes)
    outcome.model = facts
    check_target(ask, facts)
    host = host_module.collect(probes)
    check_host(ask, host)
    runner, outcome.runner_why = choose_runner(ask.runner)
    outcome.runner = runner.name
    plan_and_prepare(ask, outcome, host, runner, listener)
    outcome.seconds["environments"] = time.perf_counter() - began
    with _job_folder(ask, facts, outcome) as folder:
        work = Work(ask=ask, outcome=outcome, host=host, runner=runner, folder=folder)
        _perform(work, listener, perform)
    outcome.seconds["total"] = time.perf_counter() - began
    return outcome


def _perform(work: Work, listener: Listener, perform: Callable[[Work, Listener], None]) -> None:
    """Do the task; with --record, what came of it is kept, failures too."""
    try:
        perform(work, listener)
    except JobFailed as error:
        if work.ask.record:
            record(work, error)
        raise
    if work.ask.record:
        record(work, None)


def _read_model(ask: Ask) -> ModelFacts:
    if ask.model is None:
        raise BadInput("no model was given")
    return read_source(ask.model)


@contextmanager
def _job_folder(ask: Ask, facts: ModelFacts, outcome: Outcome) -> Iterator[Path]:
    """A folder for this run's jobs: kept when a job or its verdict failed, removed when all went well, when the input
    was no good, when the disk is full or the user stopped it."""
    jobs = cache_root() / "jobs"
    with disk_errors(jobs):
        jobs.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{facts.path.stem[:40]}-", dir=jobs))
    outcome.folder = folder
    try:
        yield folder
    except JobFailed:
        raise
    except BaseException:
        if not ask.keep:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if outcome.status != "failed" and not ask.keep:
        shutil.rmtree(folder, ignore_errors=True)
        outcome.folder = None
