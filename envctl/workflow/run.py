"""`envctl run`: convert, infer, verify, or any command, inside the environment that was asked for."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from envctl import host as host_module
from envctl import matrix, model
from envctl.aliases import read_indexes
from envctl.errors import BadInput, JobFailed
from envctl.model import ModelFacts
from envctl.runner import Runner
from envctl.tree import cache_root, disk_errors
from envctl.workflow import convert, load_plan
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.locked import plan_locked
from envctl.workflow.outcome import Outcome
from envctl.workflow.plan import Plan, check_target, choose_runner, known_facts, plan_reference, plan_target
from envctl.workflow.prepare import Prepared, prepare
from envctl.workflow.record import record


def run(ask: Ask, listener: Listener, probes: host_module.Probes) -> Outcome:
    """Do a task on a model; failures with a name are raised (envctl.errors), verdicts are in the outcome."""
    began = time.perf_counter()
    outcome = Outcome(task=ask.task)
    if ask.model and load_plan.is_plan(ask.model) and ask.task != "convert":
        runner, _ = choose_runner(ask.runner)
        raise load_plan.refuse(ask, ask.model, matrix.load(), host_module.collect(probes), runner)
    facts = _read_model(ask)
    outcome.model = facts
    convert.check_target(ask, facts)
    host = host_module.collect(probes)
    runner, outcome.runner_why = choose_runner(ask.runner)
    outcome.runner = runner.name
    _plan_and_prepare(ask, outcome, host, runner, listener)
    outcome.seconds["environments"] = time.perf_counter() - began
    with _job_folder(ask, facts, outcome) as folder:
        work = convert.Work(ask=ask, outcome=outcome, host=host, runner=runner, folder=folder)
        _perform(work, listener)
    outcome.seconds["total"] = time.perf_counter() - began
    return outcome


def _perform(work: convert.Work, listener: Listener) -> None:
    """Do the task; with --record, what came of it is kept, failures too."""
    try:
        convert.perform(work, listener)
    except JobFailed as error:
        if work.ask.record:
            record(work, error)
        raise
    if work.ask.record:
        record(work, None)


def command(ask: Ask, arguments: list[str], listener: Listener) -> int:
    """Run a program inside the environment; its own exit code comes back."""
    host = host_module.read_host()
    runner, _ = choose_runner(ask.runner)
    plan = _target(matrix.load(), ask, host, runner, None)
    prepared = _carry_out("target", plan, ask, host, runner, listener)
    listener.say("")
    return runner.command(arguments, prepared.environment)


def _read_model(ask: Ask) -> ModelFacts:
    if ask.model is None:
        raise BadInput("no model was given")
    return model.read(ask.model)


def _plan_and_prepare(
    ask: Ask, outcome: Outcome, host: host_module.HostFacts, runner: Runner, listener: Listener
) -> None:
    """The target's environment and, where outputs will be compared, the reference's. Both are planned first."""
    facts = matrix.load()
    target = _target(facts, ask, host, runner, outcome.model)
    reference = None
    if convert.will_compare(ask, host) and outcome.model:
        source = convert.reference_for(ask, outcome.model)
        reference = plan_reference(facts, known_facts(host, runner, source, None), runner, source)
    outcome.target = _carry_out("target", target, ask, host, runner, listener)
    if reference:
        outcome.reference = _carry_out("reference", reference, ask, host, runner, listener)


def _target(
    facts: matrix.Matrix, ask: Ask, host: host_module.HostFacts, runner: Runner, model: ModelFacts | None
) -> Plan:
    """The plan for what was asked, or for what the lock says."""
    known = known_facts(host, runner, model, ask.gpu)
    if ask.lock is None:
        return plan_target(facts, ask, known, runner, model)
    found = plan_locked(facts, ask.lock, known, runner, host)
    check_target(found, ask, model)
    return found


def _carry_out(
    role: str, plan: Plan, ask: Ask, host: host_module.HostFacts, runner: Runner, listener: Listener
) -> Prepared:
    """The environment of a plan; the pins are the target's."""
    listener.planned(role, plan)
    pins = ask.pins if role == "target" else ()
    prepared = prepare(plan, pins, ask, host, read_indexes(list(ask.index)), runner, listener)
    listener.prepared(role)
    return prepared


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
