"""What locks need to be of use without network: the questions that they answer, references, and envctl's own needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from packaging.specifiers import SpecifierSet

from envctl import lock
from envctl.aliases import Indexes
from envctl.bundle import own_wheel
from envctl.errors import BadInput, NoStack
from envctl.index import Question
from envctl.lock import Lock
from envctl.lockfile import LockFile, Target
from envctl.matrix import Matrix
from envctl.matrix import load as load_matrix
from envctl.package import LockedPackage
from envctl.question import OTHER_SYSTEMS
from envctl.recipe import Packages
from envctl.request import Known, Pin, Request
from envctl.routes import reference_engine
from envctl.solver import Conflict, Stack, solve
from envctl.spec import read_spec
from envctl.workflow.machine import facts_of

Say = Callable[[str], None]
RUNS_ON = SpecifierSet(">=3.10")  # pyproject.toml; a test compares


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Environments to bring wheels for, those that answer a question by the name they are kept under, and envctl's
    own needs, one for each Python and platform."""

    environments: tuple[Lock, ...]
    answers: dict[str, Lock]
    own: tuple[Lock, ...]


def wanted(
    locks: list[LockFile], pythons: tuple[str, ...], references: bool, indexes: Indexes, offline: bool, say: Say
) -> Wanted:
    """Everything that the targets of these locks need."""
    matrix = load_matrix()
    targets = [target.environment for found in locks for target in found.targets]
    answers = dict(_answers(matrix, locks, say))
    mine = _pythons(pythons, targets)
    platforms = sorted({each.platform for each in targets})
    pairs = sorted({(each.python, each.platform) for each in targets} | {(p, q) for p in mine for q in platforms})
    asker = _Asker(matrix=matrix, indexes=indexes, offline=offline, say=say)
    if references:
        for python, platform in pairs:
            answers |= asker.reference(python, platform, _packages(targets, python, platform), answers)
    own = tuple(
        asker.own(python, platform, _packages(targets, python, platform))
        for python, platform in pairs
        if python in mine
    )
    every = {each.digest: each for each in (*targets, *answers.values())}
    return Wanted(environments=tuple(every[digest] for digest in sorted(every)), answers=answers, own=own)


def _packages(targets: list[Lock], python: str, platform: str) -> tuple[LockedPackage, ...]:
    """The packages of the targets' environments of that Python: taken again where they fit, a wheel is brought once."""
    same = [each for each in targets if (each.python, each.platform) == (python, platform)]
    return tuple({package.name: package for each in same for package in each.packages}.values())


def _pythons(asked: tuple[str, ...], targets: list[Lock]) -> list[str]:
    """The Pythons that envctl itself is brought for: those asked for, else the targets' and the running one."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in asked:
        if not RUNS_ON.contains(python):
            raise BadInput(
                f"--python {python}: envctl runs on CPython {RUNS_ON}", do=["for example --python 3.11,3.12"]
            )
    found = {*asked} or {running, *(each.python for each in targets if RUNS_ON.contains(each.python))}
    return sorted(found, key=lambda python: int(python.split(".")[1]))


# --- questions


def _answers(matrix: Matrix, locks: list[LockFile], say: Say) -> Iterator[tuple[str, Lock]]:
    """Each target's environment under the question that `envctl run` with the same pins asks on its machine."""
    for found in locks:
        for target in found.targets:
            question = _question(matrix, found, target)
            if question:
                yield lock.kept_path(question).name, target.environment
            else:
                say(f"{target.name}: the same pins give another stack today; offline it runs with --lock only")


def _question(matrix: Matrix, found: LockFile, target: Target) -> Question | None:
    """The question; None when today's matrix gives these pins other versions than the lock has."""
    pins = tuple(said.pin() for said in found.request.pins)
    had = {line.component: line.version for line in target.stack}
    stack = _stack(matrix, found.request.engine, pins, target.environment.python, frozenset(had.items()))
    if stack is None or any(had.get(name, version) != version for name, version in _versions(matrix, stack).items()):
        return None
    if stack.on_gpu != ("cuda" in had):
        return None
    served = {package.index for package in target.environment.packages}
    return lock.question_for(stack, read_spec(found.request.engine), target.environment.platform, served)


def _versions(matrix: Matrix, stack: Stack) -> dict[str, str]:
    kinds = {name: matrix.component(name).kind for name in stack.choices if matrix.has(name)}
    return {name: stack.version(name) for name, kind in kinds.items() if kind in ("engine", "component")}


def _stack(
    matrix: Matrix, engine: str, pins: tuple[Pin, ...], python: str, preferred: frozenset[tuple[str, str]] = frozenset()
) -> Stack | None:
    """The stack that `envctl run` finds where nothing else of the machine decides."""
    request = Request(
        engine=engine,
        pins=read_spec(engine).with_company(pins),
        known={"python": Known(values=(python,), origin="the lock")},
        deferred=facts_of(matrix),
        foreign=OTHER_SYSTEMS,
        preferred=preferred,
        features=read_spec(engine).features,
    )
    answer = solve(matrix, request)
    return None if isinstance(answer, Conflict) else answer


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asker:
    """Asks the index, or what is kept of its answers."""

    matrix: Matrix
    indexes: Indexes
    offline: bool
    say: Say

    def reference(
        self, python: str, platform: str, keep: tuple[LockedPackage, ...], there: dict[str, Lock]
    ) -> dict[str, Lock]:
        """The environment that answers are compared with, by the name of its question; nothing where it is there."""
        engine = reference_engine("onnx")
        stack = _stack(self.matrix, engine, (), python)
        if stack is None:
            self.say(f"no release of {engine} for CPython {python}: nothing to compare with there")
            return {}
        question = lock.question_for(stack, read_spec(engine), platform, self.indexes.addresses)
        name = lock.kept_path(question).name
        return {} if name in there else {name: self._answer(replace(question, keep=keep), f"the reference {engine}")}

    def own(self, python: str, platform: str, keep: tuple[LockedPackage, ...]) -> Lock:
        """What envctl itself needs on that Python."""
        packages = Packages(requirements=own_wheel.requirements(), index={})
        question = Question(packages=packages, constraints=(), python=python, platform=platform, keep=keep)
        return self._answer(question, f"envctl for CPython {python}")

    def _answer(self, question: Question, what: str) -> Lock:
        try:
            return lock.answer(question, what, self.indexes, offline=self.offline, refresh=False, say=self.say)
        except NoStack as error:
            do = [*error.do, "leave that Python out: --python 3.11"]
            raise NoStack(f"the packages of {what} cannot stand together", because=error.because, do=do) from error
