"""`envctl conformance`: ONNX's node tests through an engine's adapter, in one worker that is shut in as any other.

A case that kills the worker is `crashed`, and another worker goes on with the next one. What a case's header already
forbids (opset, IR version, domains, element types) is refused without running it, unless everything shall be tried.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from envctl import host as host_module
from envctl import lock, matrix
from envctl.aliases import read_indexes
from envctl.errors import BadInput, JobFailed, Reason
from envctl.job import Job, Result
from envctl.model.node_types import taken
from envctl.release import Claim
from envctl.runner import Runner
from envctl.spec import NodeTests, node_tests, read_spec
from envctl.verify.conformance import Finding, differs, refusal
from envctl.workflow import steps
from envctl.workflow.ask import Ask, Listener
from envctl.workflow.ends import wrong_ends
from envctl.workflow.job_folder import job_folder
from envctl.workflow.node_tests import Case, bring, lay_out
from envctl.workflow.plan import Plan, choose_runner, known_facts, plan_target
from envctl.workflow.prepare import Prepared, prepare

CASE_SECONDS = 60
STEP = 100  # cases between two words about the progress
SLICE = 0.2
HEADER = {"opset": "ai.onnx", "opset-ml": "ai.onnx.ml"}  # a component of the matrix -> the domain that it counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Conformance:
    """What came of all cases, in what environment."""

    tests: NodeTests
    target: Prepared
    findings: tuple[Finding, ...]
    seconds: float
    everything: bool


def conform(
    ask: Ask, listener: Listener, *, ops: frozenset[str], names: str = "", everything: bool = False
) -> Conformance:
    """Run the node tests about `ops` (all, if none); with `everything` also those whose header speaks against them."""
    spec = read_spec(ask.engine)
    if not spec.adapter or "onnx" not in spec.formats:
        raise BadInput(f"envctl cannot run ONNX models with {spec.title}", do=["engines that can: --ort, --openvino"])
    host = host_module.read_host()
    runner, _ = choose_runner(ask.runner)
    facts, tests, indexes = matrix.load(), node_tests(), read_indexes(list(ask.index))
    plan = plan_target(facts, ask, known_facts(host, runner, None, ask.gpu), runner, None)
    listener.planned("target", plan)
    target = prepare(plan, ask.pins, ask, host, indexes, runner, listener)
    listener.prepared("target")
    platform = lock.platform_for(host.value("arch"), plan.glibc or host.value("glibc"))
    wheel = bring(tests, platform, indexes, offline=ask.offline, say=listener.say)
    began = time.perf_counter()
    with job_folder("conformance", keep=ask.keep) as made:
        listener.say(f"reading the node tests of {tests.distribution} {tests.version}")
        cases = lay_out(wheel, tests, made.path / "cases", ops, names)
        total = int(host.value("memory_limit") or host.value("memory") or 8 << 30)
        work = _Work(ask, runner, target, made.path, tests, total, listener)
        findings = work.all(cases, {case.name: foretold(plan, facts, case) for case in cases}, everything)
    listener.say("")
    seconds = time.perf_counter() - began
    return Conformance(tests=tests, target=target, findings=findings, seconds=seconds, everything=everything)


def foretold(plan: Plan, facts: matrix.Matrix, case: Case) -> str:
    """Why the engine will not load a case, by its header; "" where nothing speaks against it."""
    header = {"ir": case.facts.ir} | {name: case.facts.opsets.get(domain) for name, domain in HEADER.items()}
    row = facts.component(plan.spec.engine).row(plan.stack.version(plan.spec.engine))
    for claim in row.requires if row else ():
        stamped = header.get(claim.name)
        if stamped is not None and _above(claim, stamped):
            return _worded(claim, stamped)
    if foreign := case.facts.foreign_ops(plan.spec.domains):
        return f"operator {foreign[0][0]}:{foreign[0][1]} (images/{plan.spec.engine}.toml)"
    if wrong := wrong_ends(plan.spec, case.facts):
        return f"{wrong[0].dtype} {wrong[0].name} (images/{plan.spec.engine}.toml)"
    version = plan.stack.version(plan.spec.engine)
    lacking, source = plan.spec.lacking(version, case.facts.ops - case.facts.functions)
    if lacking:
        return f"no operator {lacking[0]} ({source})"
    for op, dtype in sorted(taken(case.facts.path)):
        if source := plan.spec.lacks_kernel(version, op, dtype):
            return f"no {op} for {dtype} ({source})"
    return ""


def _above(claim: Claim, version: int) -> bool:
    """Whether a version is above what a release reads. One below is not foretold: documented floors are no limits."""
    return not claim.condition.admits(str(version)) and any(claim.condition.admits(str(v)) for v in range(version))


def _worded(claim: Claim, version: int) -> str:
    title = {"ir": "IR version", "opset": "opset", "opset-ml": "opset of ai.onnx.ml"}[claim.name]
    return f"{title} {version}, and {claim.owner} reads {claim.condition} ({claim.source})"


class _Work:
    """Workers that do cases one after the other."""

    def __init__(
        self,
        ask: Ask,
        runner: Runner,
        target: Prepared,
        folder: Path,
        tests: NodeTests,
        memory: int,
        listener: Listener,
    ) -> None:
        self.ask, self.runner, self.target, self.folder, self.tests = ask, runner, target, folder, tests
        self.memory, self.listener = memory, listener
        self.execute = target.plan.spec.runs_on == "cpu"
        self.jobs = 0

    def all(self, cases: list[Case], told: Mapping[str, str], everything: bool) -> tuple[Finding, ...]:
        """A finding for each case, in their order."""
        tried = [case for case in cases if not case.untold and (everything or not told[case.name])]
        left, found = list(tried), dict[str, Finding]()
        while left:
            done = self._worker(left, len(found), len(tried))
            found |= {
                case.name: self._judged(case, done[case.name], told[case.name]) for case in left if case.name in done
            }
            left = [case for case in left if case.name not in done]
        return tuple(found.get(case.name) or _not_tried(case, told[case.name]) for case in cases)

    def _worker(self, cases: list[Case], before: int, total: int) -> dict[str, dict[str, Any]]:
        """What one worker said of the cases that it came to; the last may be the one that it died of."""
        self.jobs += 1
        job = self._job(cases, self.folder / f"worker-{self.jobs}")
        job.write()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.runner.run, job, self.target.environment)
            try:
                self._watch(running, job, before, total)
            except BaseException:
                self.runner.stop()
                raise
        result = running.result()
        done = _read(job)
        if not done:
            raise steps.failure(job, self.target, result)
        return {name: self._ended(line, result) for name, line in done.items()}

    def _job(self, cases: list[Case], folder: Path) -> Job:
        names = [case.name for case in cases]
        source = self.folder / "cases"
        made = steps.job(folder, "conform", self.target, source, [], self.ask, steps.limits(self.ask, self.memory))
        adapter = made.options | {"threads": self.ask.threads or 1, "precision": self.ask.precision or "fp32"}
        options = {"cases": names, "case_seconds": CASE_SECONDS, "execute": self.execute, "adapter": adapter}
        return replace(made, options=options)

    def _watch(self, running: Future[Result], job: Job, before: int, total: int) -> None:
        """Say now and then how far the worker is."""
        shown = -1
        while not running.done():
            count = before + _count(job)
            if count // STEP != shown:
                shown = count // STEP
                self.listener.say(f"{self.target.plan.title}: {count} of {total} cases")
            time.sleep(SLICE)

    def _ended(self, line: dict[str, Any], result: Result) -> dict[str, Any]:
        """A case's line; of one that was begun only, what the worker's death says."""
        if line["status"] != "begun":
            return {**line, "folder": str(result.folder)}
        return {"status": "crashed", "message": f"{result.status}: {result.message}", "folder": str(result.folder)}

    def _judged(self, case: Case, line: dict[str, Any], told: str) -> Finding:
        status, stage = line["status"], str(line.get("stage", ""))
        message = " ".join(str(line["message"]).replace(str(self.folder), "").split())[:500]
        finding = Finding(case=case.name, op=case.op, state="passed", stage=stage, message=message, predicted=told)
        if status == "crashed":
            return replace(finding, state="crashed")
        if status != "ok":
            return replace(finding, state="refused", why=refusal(str(line["message"]), status))
        if not self.execute:
            return replace(finding, state="built")
        other = self._differs(case, Path(line["folder"]) / "answers" / f"{case.name}.npz")
        return replace(finding, state="mismatch" if other else "passed", message=other)

    def _differs(self, case: Case, path: Path) -> str:
        import numpy as np

        try:
            with np.load(path, allow_pickle=False) as archive:
                answers = [archive[str(index)] for index in range(len(archive.files))]
        except (OSError, ValueError, KeyError, EOFError) as error:
            return f"the answer cannot be read: {error}"
        return differs(case.expected, answers, self.tests.rtol, self.tests.atol)


def _not_tried(case: Case, told: str) -> Finding:
    if told:
        return Finding(case=case.name, op=case.op, state="refused", stage="header", why="header", predicted=told)
    return Finding(case=case.name, op=case.op, state="skipped", message=case.untold)


def _lines(job: Job) -> list[dict[str, Any]]:
    path = job.folder / "cases.jsonl"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def _count(job: Job) -> int:
    return sum(line["status"] != "begun" for line in _lines(job))


def _read(job: Job) -> dict[str, dict[str, Any]]:
    """The last line of each case. The worker has met models: what does not fit is a failure, not a traceback."""
    try:
        return {str(line["case"]): line for line in _lines(job) if {"status", "case"} <= set(line)}
    except (ValueError, TypeError, KeyError) as error:
        raise JobFailed("cases.jsonl cannot be read", because=[Reason(text=str(error))]) from error
