"""Model or environment? The same model with other releases of the engine, and the target's file with the reference."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from envctl import host as host_module
from envctl import matrix
from envctl.errors import EnvctlError
from envctl.request import Pin
from envctl.tree import cache_root
from envctl.versions import parse_pin
from envctl.workflow import run
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.debug_bench import Bench, array_of
from envctl.workflow.outcome import Outcome
from envctl.workflow.plan import Plan
from envctl.workflow.prepare import Prepared

CHEAP = 2  # releases that are tried without being asked for
NOT_ENGINE = THE_FILE, THE_PRECISION = "the file", "the precision"
OWN_FAULT = 0.3  # of the target's error: a file with which the reference's engine errs as much is wrong itself


@dataclass(frozen=True, kw_only=True, slots=True)
class Elsewhere:
    """What another release of the engine makes of the same model: its verdict, or why there is none."""

    title: str
    status: str
    note: str


class _Quiet:
    """Says what is being done; plans of other releases are not the user's affair."""

    def __init__(self, listener: Listener) -> None:
        self.say = listener.say

    def planned(self, role: str, plan: Plan) -> None: ...

    def prepared(self, role: str) -> None: ...


def named(ask: Ask, versions: tuple[str, ...], listener: Listener) -> list[Elsewhere]:
    """The verdicts of the releases that were asked for."""
    return [_verdict(ask, version, listener) for version in versions]


def cheap(ask: Ask, target: Prepared, listener: Listener) -> list[Elsewhere]:
    """The verdicts of releases whose environments are there already: the nearest older ones, then newer ones."""
    if ask.lock is not None:
        return []
    tried = (_verdict(replace(ask, offline=True), version, listener) for version in _here(target))
    return list(islice((each for each in tried if each.status in ("passed", "failed")), CHEAP))


def _here(target: Prepared) -> list[str]:
    """The other releases of the engine that some environment in the cache holds."""
    engine, now = target.plan.spec.engine, Version(target.plan.stack.version(target.plan.spec.engine))
    names = {Requirement(each).name for each in target.plan.packages.requirements if f"=={now}" in each}
    kept = [_packages(path) for path in (cache_root() / "environments").glob("*/lock.json")]
    known = {Version(release.version) for release in matrix.load().component(engine).releases}
    found = {Version(packages[name]) for packages in kept for name in names & packages.keys()} & known - {now}
    older = sorted((version for version in found if version < now), reverse=True)
    return [str(version) for version in (*older, *sorted(found - set(older)))]


def _packages(path: Path) -> dict[str, str]:
    """The packages of an environment's lock; none where it cannot be read: another process may be at it."""
    try:
        return {each["name"]: each["version"] for each in json.loads(path.read_text(encoding="utf-8"))["packages"]}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _verdict(ask: Ask, version: str, listener: Listener) -> Elsewhere:
    spoken = f"{ask.engine} {version}"
    listener.say(f"the same model with {spoken}")
    mine = Pin(name=ask.engine, condition=parse_pin(ask.engine, version), said=f"--versions {version}")
    pins = (*(pin for pin in ask.pins if pin.name != ask.engine), mine)
    try:
        outcome = run.run(replace(ask, pins=pins, keep=False), _Quiet(listener), host_module.start_probes())
    except EnvctlError as failed:
        return Elsewhere(title=spoken, status="not tried", note=failed.what)
    return _told(outcome)


def _told(outcome: Outcome) -> Elsewhere:
    if outcome.folder:
        shutil.rmtree(outcome.folder, ignore_errors=True)
    assert outcome.target
    return Elsewhere(title=outcome.target.plan.title, status=outcome.status, note=outcome.note)


def blamed(bench: Bench) -> str:
    """Whether the target's own file is at fault: what the reference's engine makes of it. "" for one and the same."""
    if bench.target.path == bench.source.path:
        return ""
    title, name = bench.reference.plan.title, bench.target.path.name
    typed = "types" in bench.work.outcome.results  # the file is envctl's own, in the precision that was asked for
    try:
        expected, answers = bench.on_reference(bench.source, []), bench.on_reference(bench.target, [])
    except EnvctlError as failed:
        return f"{title} could not run {name}: {failed.what}"
    pairs = zip(bench.source.outputs, expected, answers, strict=False)
    apart = {output: bench.apart(array_of(before), array_of(after)) for output, before, after in pairs}
    if any(apart[output] >= OWN_FAULT * plain for output, plain in bench.plain.items()):
        culprit = THE_PRECISION if typed else THE_FILE
        return f"{culprit}: {title} parts with {name} as well (error {max(apart.values()):.1e})"
    return f"the engine: {title} runs {name} as it does the original (error {max(apart.values()):.1e})"
