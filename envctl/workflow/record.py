"""`envctl run … --record`: a run's outcome, or the failure that ended it, as an observation for the evidence store."""

from __future__ import annotations

from datetime import datetime, timezone

from envctl import evidence
from envctl.errors import JobFailed
from envctl.workflow.outcome import model_data
from envctl.workflow.work import Work


def record(work: Work, error: JobFailed | None) -> None:
    """Append what was observed."""
    outcome = work.outcome
    lock = work.target.environment.lock
    observation = evidence.Observation(
        day=datetime.now(timezone.utc).date().isoformat(),
        engine=work.target.plan.spec.engine,
        task=outcome.task,
        precision=work.ask.precision or "fp32",
        verdict=error.kind if error else _verdict(work),
        reason=_reason(error) if error else outcome.note,
        lock=lock.digest,
        stack={name: choice.version for name, choice in sorted(work.target.plan.stack.choices.items())},
        packages={package.name: package.version for package in lock.packages},
        model={name: value for name, value in model_data(work.source).items() if name != "path"},
        host=work.host.summary(),
    )
    outcome.recorded = evidence.append(observation)


def _verdict(work: Work) -> str:
    """The status; that a person's own limits or another model's outputs were missed says nothing about a release."""
    own = (work.ask.atol, work.ask.cosine, work.ask.top1, work.ask.reference_model) != (None, None, None, None)
    return "failed-own-terms" if own and work.outcome.status == "failed" else work.outcome.status


def _reason(error: JobFailed) -> str:
    return error.because[0].text if error.because else error.what
