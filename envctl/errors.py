"""What can go wrong, as data: what happened, because of what, and what to do about it.

One exception class an exit code (see `docs/architecture.md`); the words are put together in `report.error_text`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One line of a 'because': a sentence and where that sentence comes from."""

    text: str
    source: str = ""


class EnvctlError(Exception):
    """An error a person can act on. `what` is one line; `because` is the proof; `do` are the ways out."""

    code = 5
    lacking: tuple[dict[str, str], ...] = ()  # operators that an engine has no way for (envctl/workflow/lacking.py)

    def __init__(self, what: str, *, because: list[Reason] | None = None, do: list[str] | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.because = because or []
        self.do = do or []

    def as_data(self) -> dict[str, object]:
        """The same error for `--json`."""
        because = [{"text": reason.text, "source": reason.source} for reason in self.because]
        told: dict[str, object] = {"what": self.what, "because": because, "do": self.do, "exit_code": self.code}
        return told | ({"lacking": self.lacking} if self.lacking else {})


class BadInput(EnvctlError):
    """The command line or a file given on it cannot be used (exit code 2)."""

    code = 2


class NoStack(EnvctlError):
    """No set of versions satisfies the request on this host (exit code 3)."""

    code = 3


class HostLacks(EnvctlError):
    """The request is sound, but this host lacks something it needs (exit code 4)."""

    code = 4


class JobFailed(EnvctlError):
    """A step inside an environment failed; its folder is kept (exit code 5). `kind` is the job's status."""

    code = 5
    kind = "job-failed"


class CannotStart(EnvctlError):
    """The command after `--` is not there or is no program (exit code 127, as a shell has it)."""

    code = 127
