"""The environments of a run: the target's, where outputs will be compared the reference's, and that of the framework
that the model passes on its way. All are planned before any is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from envctl import matrix, routes
from envctl.errors import NoStack
from envctl.host import HostFacts
from envctl.matrix import Matrix
from envctl.model import ModelFacts
from envctl.recipe import GraphTypes
from envctl.routes import Route
from envctl.runner import Runner
from envctl.workflow import dataset, samples
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.outcome import Outcome
from envctl.workflow.plan import Plan, known_facts, plan_reference
from envctl.workflow.route import passing, plan_route, with_opset, writable_opsets
from envctl.workflow.target import carry_out, plan_with, target_plan
from envctl.workflow.task import reference_for, will_compare


@dataclass(frozen=True, kw_only=True, slots=True)
class Plans:
    """The stacks of a run: the target's, that of the framework on its `route`, and the reference's."""

    target: Plan
    route: Route | None = None
    source: Plan | None = None
    reference: Plan | None = None

    @property
    def tools(self) -> GraphTypes | None:
        """What writes the precision into the graph, where a step before does."""
        return self.target.tools

    def by_role(self) -> Iterator[tuple[str, Plan]]:
        """(role, plan) of those that there are, the target first."""
        for role, plan in (("target", self.target), ("source", self.source), ("reference", self.reference)):
            if plan:
                yield role, plan


def plans_for(facts: Matrix, ask: Ask, model: ModelFacts, host: HostFacts, runner: Runner) -> Plans:
    """All stacks of a run, before anything is made."""
    target = target_plan(facts, ask, host, runner, model)
    route, source = route_of(ask, model, target), None
    if route:
        target, source = _through(facts, ask, host, runner, model, route, target)
    reference = _reference(facts, ask, host, runner, model) if will_compare(ask, host) else None
    return Plans(target=target, route=route, source=source, reference=reference)


def plan_and_prepare(ask: Ask, outcome: Outcome, host: HostFacts, runner: Runner, listener: Listener) -> None:
    """The environments, planned and made, in the outcome."""
    assert outcome.model
    plans = plans_for(matrix.load(), ask, outcome.model, host, runner)
    made = {role: carry_out(role, each, ask, host, runner, listener) for role, each in plans.by_role()}
    outcome.route, outcome.target = plans.route, made["target"]
    outcome.source, outcome.reference = made.get("source"), made.get("reference")
    if samples.wants_worker(ask.calibration) or dataset.wants_worker(ask):
        python, glibc = plans.target.stack.version("python"), plans.target.glibc
        outcome.reader = samples.environment(python, glibc, ask, host, runner, listener.say)


def route_of(ask: Ask, model: ModelFacts, target: Plan) -> Route | None:
    """The route that the model takes to this release of the engine."""
    readable = target.spec.readable(target.stack.version(target.spec.engine))
    return routes.find(model.format, readable, to=passing(ask))


def _through(
    facts: Matrix, ask: Ask, host: HostFacts, runner: Runner, model: ModelFacts, route: Route, target: Plan
) -> tuple[Plan, Plan]:
    """The target's plan once more, for the opsets that the route can write, and the plan of the route."""
    every = writable_opsets(facts, route)
    opsets = tuple(each for each in every if ask.opset in ("", each))
    if every and not opsets:
        do = [f"it writes {', '.join(sorted(every, key=int))}"]
        raise NoStack(f"the way from {model.format} to ONNX does not write opset {ask.opset}", do=do)
    if opsets:
        known = with_opset(known_facts(host, runner, None, ask.gpu), opsets, f"opsets that {route.writer} writes")
        target = plan_with(facts, ask, host, runner, model, known)
    known = known_facts(host, runner, None, None)
    return target, plan_route(facts, ask, model, route, known, runner, target)


def _reference(facts: Matrix, ask: Ask, host: HostFacts, runner: Runner, model: ModelFacts) -> Plan:
    source = reference_for(ask, model)
    engine = routes.reference_engine(source.format)
    if ask.provider and engine == ask.engine:  # the same packages judge, executing the engine's own way
        own = replace(ask, provider="")
        return plan_with(facts, own, host, runner, source, known_facts(host, runner, source, None))
    pins = ask.via if source is model else ()
    return plan_reference(facts, engine, pins, known_facts(host, runner, source, None), runner, source)
