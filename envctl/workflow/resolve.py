"""`envctl resolve`: pins and a machine (this one, or one described) -> a stack, or a proof that there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace

from envctl import evidence
from envctl.errors import BadInput
from envctl.explain import no_stack
from envctl.matrix import Matrix, load
from envctl.question import GPU_SIDE, foreign
from envctl.request import Pin, Request
from envctl.solver import Conflict, Stack, solve
from envctl.versions import Condition
from envctl.workflow.machine import facts_of, machine

INSIDE_AN_IMAGE = frozenset({"glibc", "os"})  # a vendor's image brings its own


@dataclass(frozen=True, kw_only=True, slots=True)
class Runnable:
    """The versions of one engine that a machine can run on its GPU and on its CPU, newest first; `why_not` if none.

    `unknown` names what these versions need and nobody said of the machine.
    """

    engine: str
    gpu: tuple[str, ...]
    cpu: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    why_not: tuple[str, ...] = ()


def resolve(
    pins: tuple[Pin, ...], host: str, *, ptx: bool = False, prefer: str = "newest", features: tuple[str, ...] = ()
) -> Stack:
    """The newest stack for all pins; raises `NoStack` with a proof whose lines each have a source."""
    matrix = load()
    request = replace(_request(matrix, _engine(matrix, pins), pins, host), ptx=ptx, features=frozenset(features))
    if prefer == "measured":
        request = replace(request, preferred=evidence.proven(evidence.read()))
    answer = solve(matrix, request)
    if isinstance(answer, Conflict):
        raise no_stack(matrix, answer)
    return answer


def runnable(pins: tuple[Pin, ...], host: str) -> list[Runnable]:
    """What of each engine (of those that are pinned, if any is) the machine can run."""
    matrix = load()
    names = [name for name in matrix.names() if matrix.component(name).kind == "engine"]
    base = _request(matrix, names[0], pins, host)
    engines = [name for name in names if name in {pin.name for pin in pins}] or names
    return [_runnable(matrix, replace(base, engine=engine)) for engine in engines]


def _runnable(matrix: Matrix, request: Request) -> Runnable:
    stacks = {on_gpu: _stacks(matrix, replace(request, on_gpu=on_gpu)) for on_gpu in (True, False)}
    gpu = tuple(stack.version(request.engine) for stack in stacks[True] if stack.on_gpu)
    cpu = tuple(stack.version(request.engine) for stack in stacks[False] if not stack.on_gpu)
    unknown = sorted({claim.name for each in stacks.values() for stack in each for claim in stack.unmet})
    why_not = () if gpu or cpu else _why_not(matrix, request)
    return Runnable(engine=request.engine, gpu=gpu, cpu=cpu, unknown=tuple(unknown), why_not=why_not)


def _stacks(matrix: Matrix, request: Request) -> list[Stack]:
    """The stack of each release of the engine that has one, newest first."""
    answers = []
    for release in matrix.component(request.engine).releases:
        exactly = Condition(any=(f"=={release.version}",))
        pin = Pin(name=request.engine, condition=exactly, said=f"{request.engine} {release.version}")
        answers.append(solve(matrix, replace(request, pins=(*request.pins, pin))))
    return [answer for answer in answers if isinstance(answer, Stack)]


def _why_not(matrix: Matrix, request: Request) -> tuple[str, ...]:
    answer = solve(matrix, request)
    return tuple(reason.text for reason in no_stack(matrix, answer).because) if isinstance(answer, Conflict) else ()


def _request(matrix: Matrix, engine: str, pins: tuple[Pin, ...], host: str) -> Request:
    """The question to the solver; a GPU is meant where the machine has one, or a pin is about its software."""
    for pin in pins:
        matrix.component(pin.name)  # an unknown name ends here, with the nearest one
    known = machine(matrix, host)
    inside = INSIDE_AN_IMAGE if any(pin.name.endswith("-container") for pin in pins) else frozenset()
    known = {name: fact for name, fact in known.items() if name not in inside}
    told = known.get("gpu", known.get("driver"))
    on_gpu = bool(told and told.values)
    return Request(
        engine=engine,
        pins=pins,
        known=known,
        deferred=facts_of(matrix) - set(known),
        on_gpu=on_gpu or any(pin.name in GPU_SIDE for pin in pins),
        foreign=foreign(known) | inside,
        measured=evidence.refuted(evidence.read()),
        features=frozenset(),
    )


def _engine(matrix: Matrix, pins: tuple[Pin, ...]) -> str:
    """What is made as new as it can be: the first engine named, else the first component."""
    if not pins:
        raise BadInput("nothing was asked for", do=["name an engine or a component, for example --trt 8.6"])
    engines = [pin.name for pin in pins if matrix.component(pin.name).kind == "engine"]
    return (engines or [pin.name for pin in pins])[0]
