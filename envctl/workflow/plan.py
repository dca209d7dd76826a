"""Ask + model + host -> the stacks, before anything is made. What can be foreseen fails here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from packaging.version import Version

from envctl import evidence
from envctl.base import base_for
from envctl.errors import BadInput, HostLacks, NoStack, Reason
from envctl.evidence import refuted
from envctl.host import HostFacts
from envctl.job import Lacking
from envctl.lock import Lock
from envctl.lockfile import LockedBase
from envctl.matrix import Matrix
from envctl.model import ModelFacts
from envctl.question import foreign
from envctl.recipe import GraphTypes, Packages, is_for
from envctl.release import Claim
from envctl.request import Known, Pin, Request
from envctl.runner import Runner, runners
from envctl.solver import Conflict, Stack, solve
from envctl.spec import ImageSpec, read_spec
from envctl.workflow.ask import Ask
from envctl.workflow.of_file import with_file

HOST_FACTS = ("driver", "gpu", "cpu", "glibc")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A stack and what it will be made of. `base` is the image a container would stand on; `locked` its environment
    and `locked_base` that image, where a lock file gives them; `tools` write the precision into the graph first."""

    stack: Stack
    spec: ImageSpec
    packages: Packages
    glibc: str | None
    base: str
    locked: Lock | None = None
    tools: GraphTypes | None = None
    locked_base: LockedBase | None = None

    @property
    def title(self) -> str:
        """The engine and its version."""
        return f"{self.spec.title} {self.stack.version(self.spec.engine)}"


def spec_of(ask: Ask) -> ImageSpec:
    """The spec of the engine that was asked for, with the provider that was."""
    return read_spec(ask.engine).with_provider(ask.provider)


def choose_runner(wanted: str) -> tuple[Runner, str]:
    """The runner to use and why; `auto` takes the first that can work here."""
    reasons: list[str] = []
    known = runners()
    for runner in known:
        if wanted not in ("auto", runner.name):
            continue
        why_not = runner.why_not()
        if why_not is None:
            return runner, "asked for" if wanted != "auto" else "; ".join(reasons) or "it can be used here"
        if wanted == runner.name:
            raise HostLacks(f"the {wanted} runner cannot be used", because=[Reason(text=why_not)])
        reasons.append(why_not)
    raise BadInput(f"no runner {wanted!r}", do=[f"one of: auto, {', '.join(runner.name for runner in known)}"])


def known_facts(host: HostFacts, runner: Runner, model: ModelFacts | None, gpu: str | None) -> dict[str, Known]:
    """What the solver must take as it is: Pythons, the host's facts, and the model's opset and IR version."""
    pythons = runner.pythons()
    known = {"python": Known(values=tuple(pythons), origin=f"CPythons of the {runner.name} runner")}
    for name in HOST_FACTS:
        fact = host.facts.get(name)
        if fact and fact.value:
            # one GPU of several is enough for an engine; which one does the work is the job's affair
            values = tuple(dict.fromkeys(fact.value.split())) if name == "gpu" else (fact.value,)
            known[name] = Known(values=values, origin=fact.origin)
    glibcs = [glibc for python in pythons if (glibc := runner.glibc(python))]
    if glibcs:
        known["glibc"] = Known(values=(min(glibcs, key=Version),), origin=f"oldest base of the {runner.name} runner")
    if gpu:
        known["gpu"] = Known(values=(gpu,), origin="--gpu")
    if model and model.ir:
        known["opset"] = Known(values=(str(model.opsets.get("ai.onnx", 1)),), origin=f"header of {model.path.name}")
        known["ir"] = Known(values=(str(model.ir),), origin=f"header of {model.path.name}")
    return known


def plan(
    matrix: Matrix,
    engine: str,
    pins: tuple[Pin, ...],
    known: dict[str, Known],
    runner: Runner,
    measured: Mapping[tuple[str, str], tuple[Claim, ...]] | None = None,
    provider: str = "",
) -> Plan:
    """The stack for an engine; raises `NoStack` with the proof when there is none."""
    spec = read_spec(engine).with_provider(provider)
    deferred = frozenset(name for name in (*HOST_FACTS, "opset", "ir") if name not in known)
    request = Request(
        engine=engine,
        pins=spec.with_company(pins),
        known=known,
        deferred=deferred,
        foreign=foreign(known),
        measured=measured or {},
        features=spec.features,
        on_gpu=spec.on_gpu,
    )
    answer = solve(matrix, request)
    if isinstance(answer, Conflict):
        from envctl.explain import no_stack

        error = no_stack(matrix, answer)
        error.do += _other_runners(pins, runner)
        raise error
    _check_provider(spec, answer.version(engine))  # before packages, which such a release may not have
    python = answer.version("python")
    base = base_for(python)
    return Plan(
        stack=answer,
        spec=spec,
        packages=spec.packages(answer),
        glibc=runner.glibc(python),
        base=base.name if base else "none brings this Python",
    )


def _other_runners(pins: tuple[Pin, ...], runner: Runner) -> list[str]:
    """The runners that have a CPython which is asked for, where this one has none such."""
    asked = [pin.condition for pin in pins if pin.name == "python"]
    found = {
        other.name: [python for python in other.pythons() if all(each.admits(python) for each in asked)]
        for other in runners()
        if asked and (other.name == runner.name or other.why_not() is None)
    }
    if found.pop(runner.name, None):
        return []
    return [f"--runner {name} has CPython {pythons[0]}" for name, pythons in found.items() if pythons]


def plan_target(matrix: Matrix, ask: Ask, known: dict[str, Known], runner: Runner, model: ModelFacts | None) -> Plan:
    """The stack for what was asked, checked against what the engine can read and compute in."""
    measured = refuted(evidence.read(), model.sha256 if model else "", ask.precision or "fp32")
    own = model if model and model.format in read_spec(ask.engine).formats else None
    found = with_file(own, ask.pins, lambda pins: plan(matrix, ask.engine, pins, known, runner, measured, ask.provider))
    check_target(found, ask, model)
    _check_opset(matrix, model)
    tools = _tools(found, ask, model)
    if tools and tools.also:  # they go with some releases of the engine only
        pins = found.spec.with_company(ask.pins, tools.also)
        found = plan(matrix, ask.engine, pins, known, runner, measured, ask.provider)
        tools = _tools(found, ask, model)
    if tools is None:
        _check_way(found, ask, model)
        return found
    spec = found.spec.with_tools(tools)
    return replace(found, spec=spec, packages=spec.packages(found.stack), tools=tools)


def _check_way(found: Plan, ask: Ask, model: ModelFacts | None) -> None:
    """Raise where other releases come to the precision by types in the graph, and this one has no way to it."""
    rows = [row for row in found.spec.graph_types if ask.precision in row.precisions]
    if not rows or found.spec.runs_on != "cpu" or (model and model.precision() == ask.precision):
        return
    because = [Reason(text=f"releases {row.when} can, by a step before", source=row.source) for row in rows]
    do = [f"--{found.spec.option} {rows[0].when.partition('=')[2].partition(',')[0]} or newer"]
    raise NoStack(f"{found.title} has no way to {ask.precision} here", because=because, do=do)


def _tools(found: Plan, ask: Ask, model: ModelFacts | None) -> GraphTypes | None:
    """The packages that write the precision into the graph, where it comes about by that."""
    if ask.precision is None or (model and model.precision() == ask.precision):
        return None
    return found.spec.typed(found.stack.version(found.spec.engine), ask.precision)


def _check_opset(matrix: Matrix, model: ModelFacts | None) -> None:
    """Raise for an opset that ONNX has not: some parsers take the number as it comes and say nothing."""
    stamped = model.opsets.get("ai.onnx", 1) if model else 0
    newest = max(matrix.component("opset").releases, key=lambda it: int(it.version))
    if model and stamped > int(newest.version):
        because = [Reason(text=f"the newest opset of ONNX is {newest.version}", source=newest.source)]
        do = ["export the model again with an opset that exists", "or, where it does: envctl matrix update"]
        raise BadInput(f"{model.path.name} says opset {stamped}, which ONNX has not", because=because, do=do)


def check_target(found: Plan, ask: Ask, model: ModelFacts | None) -> None:
    """Raise when the engine cannot do what was asked."""
    if ask.precision and ask.precision not in found.spec.precisions:
        because = [Reason(text=it.text, source=it.source) for it in found.spec.refuses if it.precision == ask.precision]
        do = [f"{found.spec.title} offers: {', '.join(found.spec.precisions)}"]
        raise BadInput(f"{found.spec.title} cannot be asked for {ask.precision} here", because=because, do=do)
    if model:
        check_operators(found, model)


def _check_provider(spec: ImageSpec, version: str) -> None:
    """Raise for a release that does not execute that way."""
    row = next((each for each in spec.providers if each.name == spec.provider), None)
    if row and not is_for(row.when, version):
        because = [Reason(text=row.why, source=row.source)]
        do = [f"--{spec.option} '{row.when}' has it"]
        do += ["or TensorRT itself, through ONNX: --trt"] if row.name == "tensorrt" else []
        raise NoStack(f"{spec.title} {version} is not to be had", because=because, do=do)


def check_operators(found: Plan, model: ModelFacts) -> None:
    """Raise `NoStack` for operators that the engine is known to lack; also of a model that a route made."""
    _check_domains(found.spec, model)
    names, source = found.spec.lacking(found.stack.version(found.spec.engine), model.ops - model.functions)
    if names:
        said = [Lacking(op=name, why=f"{found.title} reads none of that name") for name in names]
        raise refused(found.spec, found.title, model, said, source)


def refused(spec: ImageSpec, title: str, model: ModelFacts, said: list[Lacking], source: str) -> NoStack:
    """The error of an engine that is known to lack operators, node by node, before anything was made."""
    from envctl.workflow import lacking, remedies  # readers of graphs, which a command has no use for

    nodes = lacking.located(model.path, model.format, said)
    error = NoStack(
        f"{title} has no operator {lacking.names(nodes)}, which {model.path.name} uses",
        because=lacking.reasons(nodes, source),
        do=remedies.ways_out(nodes, model.format, spec),
    )
    lacking.attach(error, nodes)
    return error


def plan_reference(
    matrix: Matrix, engine: str, pins: tuple[Pin, ...], known: dict[str, Known], runner: Runner, model: ModelFacts
) -> Plan:
    """The stack that says what the right answer is: the engine that is the reference of the model's format."""
    try:
        found = with_file(model, pins, lambda all_: plan(matrix, engine, all_, known, runner))
    except NoStack as error:
        what = f"no release of {engine} can be the reference for {model.path.name}"
        do = ["export the model with an older opset and IR version", "or convert it unverified: --no-verify"]
        raise NoStack(what, because=error.because, do=do if model.ir else [*error.do, do[1]]) from error
    _check_domains(found.spec, model)
    return found


def _check_domains(spec: ImageSpec, model: ModelFacts) -> None:
    if model.format != "onnx":
        return
    foreign = model.foreign_ops(spec.domains)
    if foreign:
        why = f"{spec.title} knows {', '.join(sorted(spec.domains))}"
        said = [Lacking(op=op, domain=domain, why=why) for domain, op in foreign]
        raise refused(spec, spec.title, model, said, f"images/{spec.engine}.toml")
