"""`envctl doctor`: probes -> facts -> verdicts, and what runs here. Nothing is changed but by `mend`."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envctl.errors import BadInput, HostLacks
from envctl.host import ALL_PROBES, PROBES, HostFacts, Probes, collect, start_probes

if TYPE_CHECKING:
    from envctl.doctor.check import Check, Verdict
    from envctl.doctor.runs import Runs
    from envctl.doctor.wanted import Wants
    from envctl.matrix import Matrix
    from envctl.request import Request

SECONDS = 1.9  # for all probes together: one that hangs costs no more
NET, NET_SECONDS = ("reach",), 10.0  # the one probe that uses the network


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
    root: Path | None = None,
    only: tuple[str, ...] = (),
    *,
    redact: bool = False,
    net: bool = False,
    wanted: tuple[str, ...] = (),
) -> Diagnosis:
    """What is wrong with this machine, or with the one recorded in `root`; `only` names checks, `wanted` what somebody
    wants to run there. With `net` the network is used: indexes and registries are asked.

    With `redact` the probes leave out names, serials and secrets before anything else sees them.
    """
    if net and root:
        raise BadInput("a recorded machine has no network to ask", do=["leave --net or --root out"])
    running = start_probes(ALL_PROBES, root=root, redact=redact)
    reaching = start_probes(NET, redact=redact, variables=_index_variables()) if net else None
    try:
        return _diagnosed(running, reaching, only, wanted, redact=redact)
    finally:  # whatever went wrong, Ctrl-C included
        for each in filter(None, (running, reaching)):
            each.end()


def _diagnosed(
    running: Probes, reaching: Probes | None, only: tuple[str, ...], wanted: tuple[str, ...], *, redact: bool
) -> Diagnosis:
    """All else is imported, and what runs here solved, while the probes run."""
    from envctl.matrix import load

    checks, matrix = _needed(only), load()
    wants = _wants(matrix, wanted, redact=redact) if wanted else None
    runs = () if only or wants else _runs_here(matrix, collect(running, SECONDS, first=PROBES))
    host = collect(running, SECONDS)
    if reaching:
        host = replace(host, facts={**host.facts, **collect(reaching, NET_SECONDS).facts})
    if wants:
        return judged_for(matrix, host, wants, only)
    verdicts = judge_host(matrix, checks, host)
    return Diagnosis(host=host, verdicts=tuple(it for it in verdicts if not only or it.id in only), runs=runs)


def _wants(matrix: Matrix, words: tuple[str, ...], *, redact: bool) -> Wants:
    from envctl.workflow.wanted_facts import read_wants

    return read_wants(matrix, words, redact=redact)


def _index_variables() -> dict[str, str]:
    """The addresses behind envctl's aliases, and the index that uv takes by default, for the probe."""
    from envctl.aliases import DEFAULT, read_indexes
    from envctl.upstream.simple import default_address

    found = read_indexes([]).addresses
    with suppress(HostLacks):  # uv is set to use none
        found = {DEFAULT: default_address(), **found}
    return {f"ENVCTL_INDEX_{alias.upper()}": address for alias, address in found.items()}


def _told(matrix: Matrix, host: HostFacts) -> HostFacts:
    """The facts, with what the matrix says of them."""
    from envctl.doctor.claims import with_claims
    from envctl.doctor.cuda_claims import with_cuda_claims

    return with_cuda_claims(matrix, with_claims(matrix, host))


def judge_host(matrix: Matrix, checks: tuple[Check, ...], host: HostFacts) -> list[Verdict]:
    """A verdict for each check."""
    from envctl.doctor.check import Facts
    from envctl.doctor.judge import judge

    return judge(checks, Facts(host=_told(matrix, host)))


def _runs_here(matrix: Matrix, host: HostFacts) -> tuple[Runs, ...]:
    from envctl.doctor.runs import runs_here

    return tuple(runs_here(matrix, request_for(matrix, host)))


def judged_for(matrix: Matrix, host: HostFacts, wants: Wants, only: tuple[str, ...] = ()) -> Diagnosis:
    """What is wrong with a machine for what somebody wants to run on it; other findings are not counted."""
    from envctl.doctor.check import Facts
    from envctl.doctor.concern import asked, concerning
    from envctl.doctor.judge import judge
    from envctl.doctor.wanted import runs_of_file, with_wanted

    request = request_for(matrix, host)
    told = with_wanted(matrix, _told(matrix, host), wants, request)
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
    from envctl.doctor.checks import CHECKS

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
    from envctl.question import foreign
    from envctl.request import Known, Request
    from envctl.solver import with_provided
    from envctl.workflow.machine import facts_of, known_of

    pythons = tuple(release.version for release in matrix.component("python").releases)
    known = with_provided(matrix, {**known_of(host), "python": Known(values=pythons, origin="what containers bring")})
    return Request(engine="", pins=(), known=known, deferred=facts_of(matrix) - set(known), foreign=foreign(known))


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
