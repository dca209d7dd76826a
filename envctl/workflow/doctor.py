"""`envctl doctor`: probes -> facts -> verdicts, and what runs here. Nothing is changed but by `mend`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envctl.doctor.check import Check, Facts, Verdict
from envctl.doctor.checks import CHECKS
from envctl.doctor.claims import with_claims
from envctl.doctor.cuda_claims import with_cuda_claims
from envctl.doctor.judge import judge
from envctl.doctor.runs import Runs, runs_here
from envctl.errors import BadInput
from envctl.host import ALL_PROBES, HostFacts, collect, start_probes
from envctl.matrix import Matrix, load
from envctl.question import OTHER_SYSTEMS
from envctl.request import Known, Request
from envctl.solver import with_provided
from envctl.workflow.machine import facts_of, known_of

if TYPE_CHECKING:
    from envctl.doctor.wanted import Wants

SECONDS = 1.9  # for all probes together: one that hangs costs no more


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """A machine: its facts, what was found, and what runs on it.

    Where somebody named what is to run, `asked` are the checks on that itself and `concerned` all that concern it.
    """

    host: HostFacts
    verdicts: tuple[Verdict, ...]
    runs: tuple[Runs, ...]
    asked: frozenset[str] = frozenset()
    concerned: frozenset[str] | None = None

    @property
    def failed(self) -> bool:
        """Whether something is broken that somebody needs."""
        return any(verdict.finding.level == "FAIL" for verdict in self.verdicts if self.concerns(verdict))

    def concerns(self, verdict: Verdict) -> bool:
        """Whether a finding is about what is wanted; everything is where nothing was named."""
        return self.concerned is None or verdict.id in self.concerned


def diagnose(
    root: Path | None = None, only: tuple[str, ...] = (), *, redact: bool = False, wanted: tuple[str, ...] = ()
) -> Diagnosis:
    """What is wrong with this machine, or with the one recorded in `root`; `only` names checks, `wanted` what somebody
    wants to run there.

    With `redact` the probes leave out names, serials and secrets before anything else sees them.
    """
    checks = _needed(only)
    if wanted:
        return _diagnose_for(wanted, root, only, redact=redact)
    running = start_probes(ALL_PROBES, root=root, redact=redact)
    matrix, host = load(), collect(running, SECONDS)
    told = with_cuda_claims(matrix, with_claims(matrix, host))
    verdicts = tuple(judge(checks, Facts(host=told)))
    if only:
        return Diagnosis(host=host, verdicts=tuple(each for each in verdicts if each.id in only), runs=())
    return Diagnosis(host=host, verdicts=verdicts, runs=tuple(runs_here(matrix, request_for(matrix, host))))


def _diagnose_for(wanted: tuple[str, ...], root: Path | None, only: tuple[str, ...], *, redact: bool) -> Diagnosis:
    """The same, with the checks on what is wanted."""
    from envctl.workflow.wanted_facts import read_wants

    matrix = load()
    wants = read_wants(matrix, wanted, redact=redact)
    return judged_for(matrix, collect(start_probes(ALL_PROBES, root=root, redact=redact), SECONDS), wants, only)


def judged_for(matrix: Matrix, host: HostFacts, wants: Wants, only: tuple[str, ...] = ()) -> Diagnosis:
    """What is wrong with a machine for what somebody wants to run on it; other findings are not counted."""
    from envctl.doctor.concern import asked, concerning
    from envctl.doctor.wanted import runs_of_file, with_wanted

    request = request_for(matrix, host)
    told = with_wanted(matrix, with_cuda_claims(matrix, with_claims(matrix, host)), wants, request)
    verdicts = tuple(judge(_needed(only), Facts(host=told)))
    return Diagnosis(
        host=replace(host, facts={**host.facts, **wants.facts}),
        verdicts=tuple(each for each in verdicts if not only or each.id in only),
        runs=() if only else tuple(runs_of_file(matrix, request, wants)),
        asked=asked(verdicts, wants),
        concerned=concerning(verdicts, wants),
    )


def _needed(only: tuple[str, ...]) -> tuple[Check, ...]:
    """The checks that are asked for, with those that could explain them."""
    known = {check.id: check for check in CHECKS}
    for name in only:
        if name not in known:
            raise BadInput(f"there is no check {name!r}", do=["envctl doctor --list shows them all"])
    wanted = set(only or known)
    for check in reversed(CHECKS):
        wanted |= set(check.after) if check.id in wanted else set()
    return tuple(check for check in CHECKS if check.id in wanted)


def request_for(matrix: Matrix, host: HostFacts) -> Request:
    """The question what this machine can run; environments bring their own Python."""
    pythons = tuple(release.version for release in matrix.component("python").releases)
    known = with_provided(matrix, {**known_of(host), "python": Known(values=pythons, origin="what containers bring")})
    return Request(engine="", pins=(), known=known, deferred=facts_of(matrix) - set(known), foreign=OTHER_SYSTEMS)


def record(folder: Path) -> None:
    """Write what the probes read into a folder, without names, serials and secrets; one probe after another."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BadInput(f"{folder} is not empty", do=["name a new folder"])
    for name in ALL_PROBES:
        collect(start_probes([name], record=folder), 10 * SECONDS)


def mend(commands: tuple[tuple[str, ...], ...]) -> str:
    """Run the commands of a fix; what went wrong, "" when nothing did."""
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            return done.stderr.strip() or f"ended with {done.returncode}"
    return ""
