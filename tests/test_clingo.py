"""The solver against clingo in random worlds: the same verdicts, the newest engine, the best rest, minimal proofs.

What "best" means: components are decided one after another, of those that the decided ones need always the first in the
order engine, pinned, alphabet. Each gets the first of its versions with which a stack is still possible.

resolvelib keeps that promise where claims follow this order. Where they do not, a later claim changes what was decided
before instead of giving way to it; NOT_YET marks what does not hold for that reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from envctl.matrix import Matrix, load
from envctl.proof import minimal
from envctl.request import Request
from envctl.solver import Conflict, Stack, solve
from tests import solver_worlds as worlds
from tests.clingo_worlds import Asp, alone_in, kept_by, one_after_another, one_less
from tests.rich_worlds import draw

ANY_WAY, DOWNWARDS, PROOFS = 315, 165, 30
OUT = {
    178: "a component stays that only a changed decision needed",
    235: "RecursionError in resolvelib: left-overs of a changed decision need each other",
}
FLAWS = OUT | {
    124: "a package has versions between the lines that claims draw: 3.1 is ==3.* and !=3.0",
    28: "engine 8.0 is possible",
    220: "another stack with the same engine is better",
    202: "a proof leaves out a fact about a component, and does not list the claims that count then",
    797: "narrowing uses that a component is there because it is pinned, and blames no pin for it",
    84: "a proof leaves out a pinned image, and does not list the claims that count then",
}
SHAKY = {"assembled", "fact on a component", "limit on a pin"}  # proofs of such worlds are in FLAWS
NOT_YET = pytest.mark.xfail(strict=True, reason="resolvelib changes what was decided before instead of keeping it")


@dataclass(frozen=True)
class Case:
    """One world, and both answers to its question."""

    where: str
    asp: Asp
    answer: Stack | Conflict
    best: dict[str, str] | None

    @property
    def request(self) -> Request:
        """The question."""
        return self.asp.world.request

    @property
    def chosen(self) -> dict[str, str]:
        """The versions that the solver chose."""
        assert isinstance(self.answer, Stack), f"{self.where}: clingo finds {self.best}"
        return {name: choice.version for name, choice in self.answer.choices.items()}


def case(seed: int, folder: Path, downwards: bool = False) -> Case:
    """The world of a seed."""
    matrix, request = draw(seed, folder / str(seed), downwards)
    return both(f"seed {seed}{' downwards' if downwards else ''}", matrix, request)


def both(where: str, matrix: Matrix, request: Request) -> Case:
    """The answers of the solver and of clingo."""
    asp = Asp(matrix, request)
    return Case(where=where, asp=asp, answer=solve(matrix, request), best=asp.stack())


@pytest.fixture(scope="module")
def any_way(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Worlds whose claims point in any direction, with cycles."""
    folder = tmp_path_factory.mktemp("any-way")
    return plain([case(seed, folder) for seed in range(ANY_WAY) if seed not in OUT])


@pytest.fixture(scope="module")
def downwards(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Worlds whose claims follow the order in which components are decided."""
    folder = tmp_path_factory.mktemp("downwards")
    return plain([case(seed, folder, downwards=True) for seed in range(DOWNWARDS)])


def plain(cases: list[Case]) -> list[Case]:
    """Those without a package that two components speak of: its version 2 beside its row 2.0 makes answers differ."""
    return [each for each in cases if not any(map(each.asp.world.package, each.asp.world.contested))]


@pytest.fixture
def cases(any_way: list[Case], downwards: list[Case]) -> list[Case]:
    """All worlds."""
    return any_way + downwards


def test_the_worlds_hold_what_they_should(cases: list[Case]) -> None:
    """Every kind of row occurs often, worlds with a cycle too: else the other tests prove little."""
    assert len(cases) >= 400
    seen = Counter(head for each in cases for head in {row[0] for row in each.asp.rows})
    seen.update(flag for each in cases for flag in features(each))
    assert [name for name in (*ROWS, *FLAGS, *MORE) if seen[name] < 20] == [], seen


ROWS = ("wish", "limit", "waiver", "pin", "here", "admits")
FLAGS = ("on_gpu", "ptx", "deferred", "ignored", "preferred", "measured")
MORE = ("cycle", "absent", "several", *sorted(SHAKY))


def features(case: Case) -> set[str]:
    """What a question has."""
    world, known = case.asp.world, case.request.known
    arcs = {(row[1], row[3]) for row in case.asp.rows if row[0] == "wish"}
    there = {name: bool(getattr(case.request, name)) for name in FLAGS}
    there["assembled"] = bool(world.assembled)
    there["cycle"] = any((b, a) in arcs for a, b in arcs)
    there["absent"] = any(not fact.values for fact in known.values())
    there["several"] = any(len(fact.values) > 1 for fact in known.values())
    there["fact on a component"] = any(world.matrix.component(name).kind == "component" for name in known)
    there["limit on a pin"] = any(
        row[0] == "limit" and row[3] in {p.name for p in case.request.pins} for row in case.asp.rows
    )
    return {name for name, has in there.items() if has}


def test_a_stack_exactly_where_clingo_finds_one(cases: list[Case]) -> None:
    for each in cases:
        check_verdict(each)
    stacks = sum(isinstance(each.answer, Stack) for each in cases)
    assert len(cases) * 0.3 < stacks < len(cases) * 0.7


def check_verdict(case: Case) -> None:
    """The same verdict; a stack is one for clingo too, and holds nothing that nobody needs."""
    assert isinstance(case.answer, Stack) == (case.best is not None), f"{case.where}: clingo finds {case.best}"
    if case.best:
        assert case.asp.stack(case.chosen) == case.chosen, case.where


def check_engine(case: Case) -> None:
    """The engine is the newest that clingo can find."""
    if case.best:
        assert case.chosen[case.request.engine] == case.best[case.request.engine], case.where


def check_best(case: Case) -> None:
    """Everything is the best. A stand-in makes a choice of its own of what is needed: such worlds are left out."""
    if case.best and not any(row[0] == "waiver" for row in case.asp.rows):
        assert case.chosen == one_after_another(case.asp), case.where


def check_proof(case: Case) -> None:
    """What a proof keeps is impossible, and without any one of its parts it is possible; clingo says both."""
    if case.best is None:
        matrix = case.asp.world.matrix
        proof = minimal(matrix, Conflict(request=case.request))
        kept, alone = kept_by(proof, case.asp), alone_in(proof, case.asp)
        for proven in (kept, alone):
            assert Asp(matrix, proven).stack() is None, f"{case.where}: what is kept is no proof"
        for part, fewer in one_less(proof, kept, alone):
            assert Asp(matrix, fewer).stack() is not None, f"{case.where}: {part} could have been left out"


CHECKS: tuple[Callable[[Case], None], ...] = (check_verdict, check_engine, check_best, check_proof)


@pytest.mark.parametrize("check", CHECKS[1:3])
def test_the_best_stack_where_claims_follow_the_order(check: Callable[[Case], None], downwards: list[Case]) -> None:
    for each in downwards:
        check(each)


@NOT_YET
@pytest.mark.parametrize("check", CHECKS[1:3])
def test_the_best_stack_in_any_world(check: Callable[[Case], None], any_way: list[Case]) -> None:
    for each in any_way:
        check(each)


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.xfail(strict=True, reason=why)) for seed, why in FLAWS.items()]
)
def test_flaws(seed: int, tmp_path: Path) -> None:
    """One world for each way in which an answer goes wrong, as FLAWS says."""
    for check in CHECKS:
        check(case(seed, tmp_path))


def test_proofs_are_proofs_and_minimal(cases: list[Case]) -> None:
    steady = [each for each in cases if each.best is None and not features(each) & SHAKY]
    assert len(steady) > PROOFS
    for each in steady[:PROOFS]:
        check_proof(each)


@pytest.mark.xfail(strict=True, reason="the last three of FLAWS")
def test_proofs_of_any_world(any_way: list[Case]) -> None:
    for each in any_way:
        check_proof(each)


OPEN = pytest.mark.xfail(strict=True, reason="a claim on what the host decides is not held against its pin")


@pytest.mark.parametrize(("name", "spec"), [("numpy", ">=2"), pytest.param("driver", "400", marks=OPEN)])
def test_a_pin_holds_against_claims_on_what_is_not_decided_here(name: str, spec: str, tmp_path: Path) -> None:
    """uv chooses numpy, and the driver is open; but a pin names one, and then every claim on it must hold."""
    claims = {"numpy": ["<2"], "driver": [">=500"]}
    world = {
        "engine": {"kind": "engine", "releases": [{"version": "1.0", "requires": claims}]},
        "numpy": {"kind": "package", "releases": [{"version": version} for version in ("2.0", "1.0")]},
        "driver": {"kind": "host", "releases": [{"version": "400"}]},
    }
    worlds.write_matrix(tmp_path, world)
    request = Request(engine="engine", pins=(worlds.pin(name, spec),), known={}, deferred=frozenset({"driver"}))
    assert Asp(load(tmp_path), request).stack() is None
    assert isinstance(solve(load(tmp_path), request), Conflict)


TWIN = "2 is a version of numpy beside its row 2.0, and nothing is claimed for it"


@pytest.mark.xfail(strict=True, reason=TWIN)
def test_a_package_has_each_version_once(tmp_path: Path) -> None:
    claimed = {"kind": "component", "releases": [{"version": "1.0", "requires": {"numpy": [">=1"]}}]}
    world = {
        "engine": {"kind": "engine", "releases": [{"version": "1.0", "requires": {"numpy": ["==2"]}}]},
        "cuda": claimed,
        "numpy": {"kind": "package", "releases": [{"version": "2.0", "requires": {"cuda": ["<1"]}}]},
    }
    worlds.write_matrix(tmp_path, world)
    request = Request(engine="engine", pins=(worlds.pin("cuda", ">=1"),), known={})
    check_verdict(both(TWIN, load(tmp_path), request))
