"""What a person wants to run here (`--for`), and what matrix and solver say of it on this machine, as more facts.

Rules know no versions: whether an engine has a stack here, which release reads a model and which TensorRT loads an
engine file comes out of the claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from envctl.doctor.runs import Runs, runs_of
from envctl.explain import no_stack
from envctl.host import Fact, HostFacts
from envctl.matrix import Matrix
from envctl.release import Claim, Release
from envctl.request import Known, Pin, Request
from envctl.solver import Conflict, solve

MODEL_FACTS = ("opset", "opset-ml", "ir")
PLANS = {"tensorrt": "tensorrt-plan", "tensorrt-rtx": "tensorrt-rtx-plan"}
VERSION_COMPATIBLE = {"tensorrt": "tensorrt-plan-vc"}

LINES = 6  # of a proof: its first ones, and the fact that they meet


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """An engine or component that was named, as it was said (`trt==10`), with the versions that are meant."""

    name: str
    said: str
    pins: tuple[Pin, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Wants:
    """Everything that --for named: engines, and facts of files and images (`readers`: engines that read ONNX)."""

    engines: tuple[Engine, ...] = ()
    facts: dict[str, Fact] = field(default_factory=dict)
    readers: frozenset[str] = frozenset()

    def value(self, name: str) -> Any:
        """The value of one of its facts, None where it is not known."""
        fact = self.facts.get(name)
        return fact.value if fact else None


def with_wanted(matrix: Matrix, host: HostFacts, wants: Wants, request: Request) -> HostFacts:
    """The same facts, those of what is wanted, and `wanted_engines`, `model_readers`, `plan_here`."""
    asked = with_files(request, wants)
    engines = [_engine(matrix, asked, each, wants) for each in wants.engines]
    added = {"wanted_engines": Fact(name="wanted_engines", value=engines, origin="matrices/, the solver")}
    if model := wants.value("model"):
        readers = list(_readers(matrix, model, wants.engines))
        newest = _newest(matrix, model)
        added["model_readers"] = Fact(name="model_readers", value=readers, origin="matrices/")
        added["model_newest"] = Fact(name="model_newest", value=newest, origin="matrices/opset.toml, ir.toml")
    if plan := wants.value("plan"):
        added["plan_here"] = Fact(name="plan_here", value=_plan(matrix, host, plan), origin="matrices/tensorrt.toml")
    return replace(host, facts={**host.facts, **wants.facts, **added})


def with_files(request: Request, wants: Wants) -> Request:
    """The question with what a model or an engine file is known to be."""
    known = dict(request.known)
    if model := wants.value("model"):
        origin = f"header of {model['name']}"
        known |= {name: Known(values=(value,), origin=origin) for name, value in model_versions(model).items()}
    plan = wants.value("plan")
    if plan and plan["version"]:
        known[PLANS[plan["engine"]]] = Known(values=(plan["version"],), origin=f"header of {plan['name']}")
    return replace(request, known=known, deferred=request.deferred - set(known))


def model_versions(model: dict[str, Any]) -> dict[str, str]:
    """A model's IR version and its opsets of the domains that the matrix has, by their names there."""
    opsets = model["opsets"]
    found = {"ir": str(model["ir"]), "opset": str(opsets.get("ai.onnx", 1))}
    return found | ({"opset-ml": str(opsets["ai.onnx.ml"])} if "ai.onnx.ml" in opsets else {})


def runs_of_file(matrix: Matrix, request: Request, wants: Wants) -> list[Runs]:
    """What runs here of the engines that were named; of those that read the model where only a model was."""
    if wants.engines:
        asked = [(each.name, each.pins) for each in wants.engines]
    else:
        asked = [(name, ()) for name in matrix.names() if name in wants.readers and wants.value("model")]
    base = with_files(request, wants)
    return [runs_of(matrix, replace(base, engine=name, pins=pins)) for name, pins in asked]


def _engine(matrix: Matrix, request: Request, wanted: Engine, wants: Wants) -> dict[str, Any]:
    """Whether an engine has a stack here: its versions on GPU and CPU, and the proof where it has none."""
    asked = replace(request, engine=wanted.name, pins=wanted.pins)
    runs = runs_of(matrix, asked)
    reads = wanted.name in wants.readers or matrix.component(wanted.name).kind != "engine"
    found = {
        "engine": wanted.name,
        "said": wanted.said,
        "gpu": runs.gpu,
        "cpu": runs.cpu,
        "version": runs.gpu or runs.cpu or next((row.version for row in _pinned(matrix, wanted)), ""),
        "unknown": list(runs.unknown),
        "why": runs.why,
        "reads_onnx": reads,
        "without_gpu": _without_gpu(matrix, asked, runs),
    }
    return found | (_proof(matrix, asked) if not runs.gpu and not runs.cpu else {"because": [], "do": []})


def _proof(matrix: Matrix, request: Request) -> dict[str, Any]:
    """The lines of the proof with their sources, and the nearest changes that help."""
    for on_gpu in (False, True):
        answer = solve(matrix, replace(request, on_gpu=on_gpu))
        if isinstance(answer, Conflict):
            error = no_stack(matrix, answer)
            lines = [f"{each.text} ({each.source})" for each in error.because]
            return {"because": lines if len(lines) <= LINES else [*lines[: LINES - 1], lines[-1]], "do": error.do}
    return {"because": [], "do": []}  # a GPU of which nothing is known


def _without_gpu(matrix: Matrix, request: Request, runs: Runs) -> dict[str, Any] | None:
    """Why an engine that could use this machine's GPU only runs on its CPU; None where there is nothing to say."""
    here = request.known.get("gpu")
    rows = matrix.component(request.engine).releases
    if runs.gpu or not runs.cpu or not (here and here.values) or not any(row.gpu for row in rows):
        return None
    return _proof(matrix, request)


def _pinned(matrix: Matrix, wanted: Engine) -> list[Release]:
    """The releases that were meant, newest first."""
    rows = matrix.component(wanted.name).releases
    return [row for row in rows if all(pin.condition.admits(row.version) for pin in wanted.pins)]


def _readers(matrix: Matrix, model: dict[str, Any], engines: tuple[Engine, ...]) -> Iterator[dict[str, Any]]:
    """For each engine that was named (for every one else) which release reads the model, by its claims on it."""
    every = (Engine(name=name, said=name) for name in matrix.names() if matrix.component(name).kind == "engine")
    for wanted in engines or every:
        rows, unmet = _pinned(matrix, wanted), _unmet
        claims = [claim for row in rows for claim in _claims(row)]
        if not claims:
            if engines and rows:
                yield {"engine": wanted.name, "said": wanted.said, "known": False}
            continue
        fits = [row.version for row in rows if not unmet(row, model)]
        others = [row.version for row in matrix.component(wanted.name).releases if not unmet(row, model)]
        claim = unmet(rows[0], model)
        told = {"name": claim.name, "wants": str(claim.condition), "source": claim.source} if claim else {}
        yield {
            "engine": wanted.name,
            "said": wanted.said,
            "known": True,
            "newest": rows[0].version,
            "reads": fits[0] if fits else None,
            "oldest": others[-1] if others else None,
            **told,
        }


def _claims(row: Release) -> list[Claim]:
    return [claim for claim in row.requires if claim.name in MODEL_FACTS]


def _unmet(row: Release, model: dict[str, Any]) -> Claim | None:
    """The claim on a model's versions that this one does not meet."""
    has = model_versions(model)
    return next((c for c in _claims(row) if c.name in has and not c.condition.admits(has[c.name])), None)


def _newest(matrix: Matrix, model: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Each version of the model beside the newest that any ONNX release knows, with its source."""
    found = {}
    for name, has in model_versions(model).items():
        rows = matrix.component(name).releases if matrix.has(name) else ()
        if rows:
            found[name] = {"has": has, "newest": rows[0].version, "source": rows[0].source}
    return found


def _plan(matrix: Matrix, host: HostFacts, plan: dict[str, Any]) -> dict[str, Any]:
    """The TensorRT of this machine against an engine file, and the GPUs that the release which built it is for."""
    libraries = host.facts.get("libraries")
    there = (libraries.value or {}) if libraries else {}
    found = [it for name, it in there.items() if name.startswith("libnvinfer.") and it.get("version")]
    here = found[0]["version"] if found and plan["engine"] == "tensorrt" else None
    row = matrix.component(plan["engine"]).row(_three(plan["version"])) if plan["version"] else None
    gpus = next((claim for claim in row.requires if claim.name == "gpu"), None) if row else None
    return {
        "library": here,
        "path": found[0]["path"] if here else "",
        "loads": _loads(matrix, plan, here) if here and plan["version"] else None,
        "gpus": str(gpus.condition) if gpus else None,
        "gpus_source": gpus.source if gpus else "",
        "fits": [gpu for gpu in (host.value("gpu") or "").split() if gpus and gpus.condition.admits(gpu)],
    }


def _loads(matrix: Matrix, plan: dict[str, Any], here: str) -> str:
    """Whether the TensorRT that is here loads a plan: `yes`, `no`, or `version-compatible` (if it was built so)."""
    row = matrix.component(plan["engine"]).row(_three(here))
    same = _three(here) == _three(plan["version"])
    claims = {claim.name: claim for claim in (*row.requires, *row.beside)} if row else {}
    exact = claims.get(PLANS[plan["engine"]])
    if exact.condition.admits(plan["version"]) if exact else same:
        return "yes"
    loose = claims.get(VERSION_COMPATIBLE.get(plan["engine"], ""))
    return "version-compatible" if loose and loose.condition.admits(plan["version"]) else "no"


def _three(version: str) -> str:
    """The release of a version with a build number: 10.3.0.26 -> 10.3.0."""
    return ".".join(version.split(".")[:3])
