"""The environment that was asked for, planned and made, and a program inside it.

Apart from the rest of `run`, so that a command starts without what only models need.
"""

from __future__ import annotations

from envctl import matrix
from envctl.aliases import read_indexes
from envctl.host import HostFacts, Probes, collect
from envctl.matrix import Matrix
from envctl.model import ModelFacts
from envctl.request import Known
from envctl.runner import Runner
from envctl.spec import ImageSpec
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.locked import plan_locked
from envctl.workflow.plan import Plan, check_target, choose_runner, known_facts, plan_target
from envctl.workflow.prepare import Prepared, prepare


def command(ask: Ask, arguments: list[str], listener: Listener, probes: Probes) -> int:
    """Run a program inside the environment; its own exit code comes back."""
    runner, _ = choose_runner(ask.runner)
    host = collect(probes)
    planned = target_plan(matrix.load(), ask, host, runner, None)
    prepared = carry_out("target", planned, ask, host, runner, listener)
    listener.say("")
    return runner.command(arguments, prepared.environment, device_of(prepared.plan.spec))


def device_of(spec: ImageSpec) -> str:
    """The device that the engine's workers must have: an engine that is only built needs none."""
    return "cuda" if spec.runs_on == "nvidia-gpu" and not spec.ahead_of_time else "cpu"


def target_plan(facts: Matrix, ask: Ask, host: HostFacts, runner: Runner, model: ModelFacts | None) -> Plan:
    """The plan for what was asked, or for what the lock says."""
    return plan_with(facts, ask, host, runner, model, known_facts(host, runner, model, ask.gpu))


def plan_with(
    facts: Matrix, ask: Ask, host: HostFacts, runner: Runner, model: ModelFacts | None, known: dict[str, Known]
) -> Plan:
    """The same on what is `known`."""
    if ask.lock is None:
        return plan_target(facts, ask, known, runner, model)
    found = plan_locked(facts, ask.lock, known, runner, host, ask.provider)
    check_target(found, ask, model)
    return found


def carry_out(role: str, plan: Plan, ask: Ask, host: HostFacts, runner: Runner, listener: Listener) -> Prepared:
    """The environment of a plan; the pins of the command line are the target's."""
    listener.planned(role, plan)
    pins = ask.pins if role == "target" else ()
    prepared = prepare(plan, pins, ask, host, read_indexes(list(ask.index)), runner, listener)
    listener.prepared(role)
    return prepared
