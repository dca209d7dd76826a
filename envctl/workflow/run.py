"""`envctl run`: convert, infer or verify a model inside the environment that was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable

from envctl import host as host_module
from envctl import matrix
from envctl.errors import BadInput, JobFailed
from envctl.model import ModelFacts
from envctl.workflow import convert, load_plan
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.environments import plan_and_prepare
from envctl.workflow.job_folder import job_folder
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
    with job_folder(facts.path.stem[:40], keep=ask.keep) as made:
        outcome.folder = made.path
        _perform(Work(ask=ask, outcome=outcome, host=host, runner=runner, folder=made.path), listener, perform)
        made.keep |= outcome.status == "failed"
    if not made.keep:
        outcome.folder = None
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
