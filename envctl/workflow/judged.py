"""The verdict of one cell: what `envctl run verify` does, with what it made kept for the measurement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl.bench.document import Because, CellStatus, CellVerdict, Heat, OutputError, Trouble
from envctl.errors import EnvctlError, JobFailed
from envctl.host import HostFacts
from envctl.model import ModelFacts
from envctl.verify.compare import Difference, Verdict
from envctl.verify.heat import heat
from envctl.workflow import convert, route, steps
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.environments import plan_and_prepare
from envctl.workflow.outcome import Outcome
from envctl.workflow.plan import Plan, choose_runner
from envctl.workflow.task import check_host, check_target
from envctl.workflow.work import Work

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

REFUSED = ("unsupported", "no-device")  # kinds of failure that are the engine's own word
MOST_OUTPUTS = 32  # with a heat map


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A cell that was verified: everything that its measurement needs."""

    work: Work
    verdict: CellVerdict | None
    status: CellStatus
    reason: Trouble | None

    @property
    def measurable(self) -> bool:
        """Whether it ran: what failed by its numbers is measured all the same."""
        return "infer" in self.work.outcome.results


class Muted:
    """Says what is done, and keeps no plans: a cell's failure is told in its row."""

    def __init__(self, listener: Listener, before: str) -> None:
        self.listener, self.before = listener, before

    def say(self, text: str) -> None:
        """Show what is being done now, for which cell."""
        self.listener.say(f"{self.before}: {text}" if text else "")

    def planned(self, role: str, plan: Plan) -> None:
        """Nothing."""

    def prepared(self, role: str) -> None:
        """Nothing."""


def judge(ask: Ask, facts: ModelFacts, host: HostFacts, folder: Path, listener: Listener) -> Judged:
    """Verify one cell; what cannot be done is raised (envctl.errors)."""
    outcome = Outcome(task=ask.task)
    outcome.model = facts
    check_target(ask, facts)
    check_host(ask, host)
    runner, _ = choose_runner(ask.runner)
    outcome.runner = runner.name
    plan_and_prepare(ask, outcome, host, runner, listener)
    work = Work(ask=ask, outcome=outcome, host=host, runner=runner, folder=folder)
    convert.perform(work, listener)
    return _judged(work)


def _judged(work: Work) -> Judged:
    outcome = work.outcome
    if outcome.verdict is None:  # built only
        return Judged(work=work, verdict=None, status="refused", reason=Trouble(what=outcome.note))
    verdict = cell_verdict(outcome.verdict, _errors(work) if outcome.verdict.status == "failed" else {})
    status: CellStatus = outcome.verdict.status
    reason = None if status == "passed" else Trouble(what=outcome.note)
    return Judged(work=work, verdict=verdict, status=status, reason=reason)


def _errors(work: Work) -> dict[str, Heat]:
    """Where the outputs that failed are wrong. The arrays lie in the folders of the jobs."""
    results = work.outcome.results
    expected = steps.read_outputs(results["reference"])
    answers = route.turn(steps.read_outputs(results["infer"]), route.passed(work).channels_first, route.TO_NHWC)
    ordered = convert.in_order(expected, answers)
    pairs = list(zip(expected.items(), ordered.values(), strict=False))[:MOST_OUTPUTS]
    maps = {name: heat(before[: len(after)], after) for (name, before), after in pairs}
    return {name: each for name, each in maps.items() if each}


def cell_verdict(verdict: Verdict, maps: dict[str, Heat]) -> CellVerdict:
    """The verdict as a document has it."""
    row = verdict.tolerance
    limits = {name: getattr(row, name) for name in ("max_abs", "p999_abs", "cosine", "top1", "dense_top1")}
    outputs = tuple(_output(each, maps.get(each.output)) for each in verdict.differences)
    return CellVerdict(
        passed=verdict.status == "passed",
        status=verdict.status,
        reasons=verdict.reasons,
        tolerance=limits,
        outputs=outputs,
    )


def _output(found: Difference, where: Heat | None) -> OutputError:
    return OutputError(
        name=found.output,
        shape=found.shape,
        scale=found.scale,
        max_abs=found.max_abs,
        p999=found.p999_abs,
        cosine=found.cosine,
        top1=found.top1,
        fails=found.fails,
        heat=where if found.fails else None,
    )


def trouble(error: EnvctlError, when: str = "") -> tuple[CellStatus, Trouble]:
    """A cell's status and reason for an error."""
    because = tuple(Because(text=each.text, source=each.source) for each in error.because)
    told = Trouble(what=f"{error.what}{when}", because=because, do=tuple(error.do))
    return status_of(error.kind if isinstance(error, JobFailed) else "refused"), told


def status_of(kind: str) -> CellStatus:
    """The status of a cell for a job's status, or for an error before any job."""
    if kind in ("refused", *REFUSED):
        return "refused"
    return "timeout" if kind == "timeout" else "killed" if kind == "killed" else "error"
