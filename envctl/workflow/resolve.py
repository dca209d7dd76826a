"""`envctl resolve`: pins and a machine (this one, or one described) -> a stack, or a proof that there is none."""

from __future__ import annotations

import difflib
from pathlib import Path

from envctl.errors import BadInput
from envctl.explain import no_stack
from envctl.host import HostFacts, read_host
from envctl.matrix import Matrix, load
from envctl.request import Known, Pin, Request
from envctl.runner.local import LocalRunner
from envctl.solver import Conflict, Stack, solve
from envctl.workflow.plan import OTHER_SYSTEMS

FACTS = ("driver", "gpu", "cpu", "glibc")
GPU_SIDE = ("cuda", "cudnn", "driver", "gpu", "tensorrt")
MODEL_FACTS = frozenset({"opset", "ir"})


def resolve(pins: tuple[Pin, ...], host: str) -> Stack:
    """The newest stack for all pins; raises `NoStack` with a proof whose lines each have a source."""
    matrix = load()
    engine = _engine(matrix, pins)
    known = _this_machine() if host == "this" else _described(matrix, host)
    on_gpu = any(known[name].values for name in ("driver", "gpu") if name in known)
    request = Request(
        engine=engine,
        pins=pins,
        known=known,
        deferred=frozenset((*FACTS, "os", *MODEL_FACTS)) - set(known),
        on_gpu=on_gpu or any(pin.name in GPU_SIDE for pin in pins),
        foreign=OTHER_SYSTEMS,
    )
    answer = solve(matrix, request)
    if isinstance(answer, Conflict):
        raise no_stack(matrix, answer)
    return answer


def _engine(matrix: Matrix, pins: tuple[Pin, ...]) -> str:
    """What is made as new as it can be: the first engine named, else the first component."""
    if not pins:
        raise BadInput("nothing was asked for", do=["name an engine or a component, for example --trt 8.6"])
    for pin in pins:
        matrix.component(pin.name)  # an unknown name ends here, with the nearest one
    engines = [pin.name for pin in pins if matrix.component(pin.name).kind == "engine"]
    return (engines or [pin.name for pin in pins])[0]


def _this_machine() -> dict[str, Known]:
    """The facts of this machine; one that it has not (a driver) is known to be absent."""
    found = _known(read_host())
    pythons = LocalRunner().pythons()
    return found | {"python": Known(values=tuple(pythons), origin="CPythons found on this host")}


def _known(host: HostFacts) -> dict[str, Known]:
    known = {}
    for name in FACTS:
        fact = host.facts.get(name)
        if fact:
            values = tuple(fact.value.split()) if fact.value and name == "gpu" else (fact.value,) if fact.value else ()
            known[name] = Known(values=values, origin=fact.origin if fact.value else fact.error)
    return known


def _described(matrix: Matrix, host: str) -> dict[str, Known]:
    """The facts of a machine that is described as `driver=535.104.05 gpu=8.6`, here or in a file of such words."""
    path = Path(host)
    text = path.read_text(encoding="utf-8") if "=" not in host and path.is_file() else host
    origin = str(path) if text is not host else "--host"
    known = {}
    for word in text.split():
        name, found, value = word.partition("=")
        names = [each for each in matrix.names() if matrix.component(each).kind in ("host", "model")] + ["python"]
        if not (found and value) or name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            do = [f"did you mean {near[0]}=…?"] if near else [f"facts are {', '.join(names)}"]
            raise BadInput(f"--host: {word!r} is not a fact of a machine", do=do)
        bits = name == "cpu"
        known[name] = Known(values=(value.replace(",", " "),) if bits else tuple(value.split(",")), origin=origin)
    return known
