"""A run's outcome and its plans on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from envctl.cli.stack import print_choices, print_unmet, row
from envctl.report import metric_line, status_line, verdict_lines
from envctl.workflow.outcome import Outcome
from envctl.workflow.plan import Plan
from envctl.workflow.prepare import Prepared

LAYERS = ("layers", "layers_by", "int8_layers")  # they have a line of their own
NOT_ENFORCED = ("not", "TCP refused")  # without a namespace, Landlock leaves everything but TCP open


def print_outcome(outcome: Outcome) -> None:
    """Status, stacks, verdict with the worst tensor, artifacts, timings."""
    console = Console(soft_wrap=True, highlight=False)
    status_line(console, outcome.status, outcome.note)
    row(
        console,
        "model",
        f"{outcome.model.path} (sha256 {outcome.model.sha256[:12]})" if outcome.model else "",
    )
    if outcome.route and outcome.source:
        row(console, "route", f"{route_line(outcome)} in {stack_line(outcome.source)}")
    for role, prepared in (("target", outcome.target), ("reference", outcome.reference)):
        if prepared:
            row(console, role, stack_line(prepared))
    print_layout(console, outcome)
    row(console, "runner", f"{outcome.runner} ({outcome.runner_why})")
    print_sandbox(console, outcome)
    row(console, "inputs", outcome.inputs)
    for text in outcome.notes:
        row(console, "note", text)
    if outcome.verdict:
        for label, text in verdict_lines(outcome.verdict, outcome.precision):
            row(console, label, text)
    if outcome.metric:
        row(console, "metric", metric_line(outcome.metric))
    for line in outcome.outputs:
        row(console, "output", line)
    print_layers(console, outcome)
    print_read_back(console, outcome)
    for path in outcome.artifacts:
        row(console, "wrote", str(path))
    if outcome.folder:
        row(console, "kept", f"{outcome.folder} (jobs, logs, reproduce.sh)")
    if outcome.recorded:
        row(console, "recorded", str(outcome.recorded))
    row(console, "time", ", ".join(f"{name} {value:.2f} s" for name, value in outcome.seconds.items()))


def route_line(outcome: Outcome) -> str:
    """The formats that the model passed, and the opset that was written."""
    assert outcome.model and outcome.route
    passed = outcome.passed
    opset = passed.model.opsets.get("ai.onnx") if passed else None
    written = f"{outcome.route.to} (opset {opset})" if opset else outcome.route.to
    return f"{outcome.model.format} to {written}{', made before,' if passed and passed.kept else ''}"


def print_layout(console: Console, outcome: Outcome) -> None:
    """Which tensors of the result have their channels first where the source has them last."""
    if outcome.passed and outcome.passed.channels_first:
        row(console, "layout", f"channels first (NCHW): {', '.join(sorted(outcome.passed.channels_first))}")


def stack_line(prepared: Prepared) -> str:
    """Engine, Python, numpy and the lock's digest."""
    lock = prepared.environment.lock
    numpy = f", numpy {lock.version('numpy')}" if lock.version("numpy") else ""
    return f"{prepared.plan.title}, CPython {lock.python}{numpy} (lock {lock.digest[:12]})"


def print_sandbox(console: Console, outcome: Outcome) -> None:
    """What shut the workers in, and every part of it that this host did not allow."""
    result = next(iter(outcome.results.values()), None)
    if result is None:
        return
    missing = [f"{name}: {value}" for name, value in result.sandbox.items() if value.startswith(NOT_ENFORCED)]
    if missing:
        row(console, "sandbox", "; ".join(missing))
    else:
        row(console, "sandbox", "no network, writes to the job folder only, memory and time capped")


def print_layers(console: Console, outcome: Outcome) -> None:
    """The layers before and after fusion, and who says so."""
    if found := outcome.layers:
        low = f", {found.int8} of them int8" if found.int8 is not None else ""
        row(console, "layers", f"{found.model} in the model, {found.executed} executed{low} ({found.told_by})")


def print_read_back(console: Console, outcome: Outcome) -> None:
    """What the engine says of itself, from the last step of the target."""
    result = outcome.results.get("infer") or outcome.results.get("convert")
    if result and result.read_back:
        said = [f"{name} {value}" for name, value in result.read_back.items() if name not in LAYERS]
        row(console, "engine says", ", ".join(said))


def print_plan(role: str, plan: Plan) -> None:
    """A stack that was found, before anything was made of it."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(Text(f"plan ({role})", style="bold"))
    print_choices(console, plan.stack)
    for requirement in plan.packages.requirements:
        name = requirement.partition("==")[0]
        row(console, "package", f"{requirement}  (index {plan.packages.index.get(name, 'pypi')})")
    row(console, "base image", plan.base)
    print_unmet(console, plan.stack)
