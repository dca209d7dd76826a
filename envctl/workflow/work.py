"""Everything that the steps of a run work with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from envctl.host import HostFacts
from envctl.job import Limits
from envctl.model import ModelFacts
from envctl.runner import Runner
from envctl.workflow import steps
from envctl.workflow.ask import Ask
from envctl.workflow.outcome import Outcome
from envctl.workflow.prepare import Prepared


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Everything a run has when its environments are there."""

    ask: Ask
    outcome: Outcome
    host: HostFacts
    runner: Runner
    folder: Path

    @property
    def target(self) -> Prepared:
        """The engine that was asked for."""
        assert self.outcome.target
        return self.outcome.target

    @property
    def source(self) -> ModelFacts:
        """The user's model."""
        assert self.outcome.model
        return self.outcome.model

    @property
    def limits(self) -> Limits:
        """The caps on each worker."""
        return steps.limits(self.ask, int(self.host.value("memory_limit") or self.host.value("memory") or 8 << 30))
