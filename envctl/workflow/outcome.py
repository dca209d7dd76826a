"""What a run came to, as one value for the report, `--json`, the sidecar and the exit code."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envctl import __version__
from envctl.host import HostFacts
from envctl.job import Result
from envctl.model import ModelFacts
from envctl.tree import sha256_of
from envctl.verify.compare import Verdict
from envctl.workflow.plan import Plan
from envctl.workflow.prepare import Prepared

if TYPE_CHECKING:
    from envctl.bench.document import TaskMetric
    from envctl.environment import Environment
    from envctl.routes import Route
    from envctl.workflow.dataset import Labelled
    from envctl.workflow.route import Passed
    from envctl.workflow.samples import Samples

Status = Literal["passed", "failed", "refused", "built", "converted", "ran"]
EXIT = {"passed": 0, "converted": 0, "ran": 0, "failed": 1, "refused": 1, "built": 4}


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """How many operators the model that the engine took has (constants left out), how many layers the engine executed
    after its fusions, of these how many in int8 (None: no int8), and what told it."""

    model: int
    executed: int
    int8: int | None
    told_by: str


@dataclass(kw_only=True, slots=True)
class Outcome:
    """Filled while the run goes on. `seconds` are wall times by step; `note` is one line beside the status."""

    task: str
    status: Status = "failed"
    note: str = ""
    runner: str = ""
    runner_why: str = ""
    model: ModelFacts | None = None
    target: Prepared | None = None
    reference: Prepared | None = None
    route: Route | None = None
    source: Prepared | None = None  # the environment of the route
    passed: Passed | None = None
    reader: Environment | None = None  # what reads samples, where a worker must
    calibration: Samples | None = None
    dataset: Labelled | None = None
    metric: TaskMetric | None = None
    verdict: Verdict | None = None
    precision: str = ""
    layers: Layers | None = None
    inputs: str = ""
    notes: list[str] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    artifacts: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    folder: Path | None = None
    recorded: Path | None = None

    def made(self) -> tuple[Path, ...]:
        """The files that the conversion wrote; an engine that runs models as they are takes those of the route."""
        result = self.results.get("convert") or self.results["route"]
        return result.artifacts

    @property
    def exit_code(self) -> int:
        """0 passed, 1 the verdict failed or was refused, 4 built but not executed: the host lacks a GPU."""
        return EXIT[self.status]


def as_data(outcome: Outcome) -> dict[str, Any]:
    """The outcome for `--json`."""
    return {
        "envctl": __version__,
        "task": outcome.task,
        "status": outcome.status,
        "note": outcome.note,
        "exit_code": outcome.exit_code,
        "runner": {"name": outcome.runner, "why": outcome.runner_why},
        "model": model_data(outcome.model) if outcome.model else None,
        "route": route_data(outcome),
        "target": prepared_data(outcome.target),
        "reference": prepared_data(outcome.reference),
        "precision": outcome.precision,
        "layers": asdict(outcome.layers) if outcome.layers else None,
        "inputs": outcome.inputs,
        "notes": outcome.notes,
        "verdict": asdict(outcome.verdict) if outcome.verdict else None,
        "metric": asdict(outcome.metric) if outcome.metric else None,
        "steps": {name: step_data(result) for name, result in outcome.results.items()},
        "outputs": outcome.outputs,
        "artifacts": [str(path) for path in outcome.artifacts],
        "seconds": {name: round(value, 3) for name, value in outcome.seconds.items()},
        "folder": str(outcome.folder) if outcome.folder else None,
        "recorded": str(outcome.recorded) if outcome.recorded else None,
    }


def model_data(model: ModelFacts) -> dict[str, Any]:
    """The source model: identity and header."""
    return {
        "path": str(model.path),
        "sha256": model.sha256,
        "external": {name: sha256_of(model.folder / name) for name in model.external},
        "format": model.format,
        "ir": model.ir,
        "opsets": model.opsets,
        "inputs": [str(tensor) for tensor in model.inputs],
        "outputs": [str(tensor) for tensor in model.outputs],
    }


def route_data(outcome: Outcome) -> dict[str, Any] | None:
    """The step before the target: format, environment, what was made, and whose channels come first."""
    if outcome.route is None:
        return None
    passed = outcome.passed
    made = (
        {"model": model_data(passed.model), "channels_first": sorted(passed.channels_first), "kept": passed.kept}
        if passed
        else {}
    )
    return {"to": outcome.route.to, "adapter": outcome.route.adapter, "source": prepared_data(outcome.source), **made}


def plan_data(plan: Plan) -> dict[str, Any]:
    """A stack: every choice with its reasons and source, the packages, the base, what this host leaves open."""
    return {
        "engine": plan.spec.engine,
        "stack": {name: asdict(choice) for name, choice in sorted(plan.stack.choices.items())},
        "packages": list(plan.packages.requirements),
        "constraints": {name: list(specs) for name, specs in plan.stack.constraints.items()},
        "index": plan.packages.index,
        "base": plan.base,
        "unmet": [{"claim": f"{c.owner} needs {c.name} {c.condition}", "source": c.source} for c in plan.stack.unmet],
    }


def prepared_data(prepared: Prepared | None) -> dict[str, Any] | None:
    """A plan with its lock and environment."""
    if prepared is None:
        return None
    lock = prepared.environment.lock
    packages = {package.name: package.version for package in lock.packages}
    kept = {"environment": str(prepared.environment.folder), "image": prepared.environment.image or None}
    made = {"lock": lock.digest, "packages": packages, **kept}
    return plan_data(prepared.plan) | {"locked": made}


def step_data(result: Result) -> dict[str, Any]:
    """What one worker said of itself."""
    return {
        "versions": result.versions,
        "read_back": result.read_back,
        "timings": result.timings,
        "peak_memory": result.peak_memory,
        "sandbox": result.sandbox,
    }


def sidecar(outcome: Outcome, host: HostFacts, files: dict[str, str]) -> dict[str, Any]:
    """What must never be separated from an artifact: where it came from and what it was made with."""
    data = as_data(outcome)
    kept = (
        "envctl",
        "status",
        "note",
        "precision",
        "layers",
        "inputs",
        "notes",
        "runner",
        "model",
        "route",
        "verdict",
        "metric",
        "steps",
    )
    target = data["target"]
    return {name: data[name] for name in kept} | {
        "files": files,
        "engine": target["engine"],
        "lock": target["locked"]["lock"],
        "packages": target["locked"]["packages"],
        "host": host.summary(),
    }
