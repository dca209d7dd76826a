"""The solver against clingo in random worlds: the same verdicts, the newest engine, the best rest, minimal proofs.

What "best" means: components are decided one after another, of those that the decided ones need always the first in the
order engine, pinned, alphabet. Each gets the first of its versions with which a stack is still possible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from envctl.matrix import Matrix, load
from envctl.proof import Proof, minimal
from envctl.request import Request, line_of, without_fact, without_pin
from envctl.solver import Conflict, Stack, solve
from tests import solver_worlds as worlds
from tests.clingo_worlds import Asp
from tests.rich_worlds import draw

WORLDS, PROOFS = 410, 80
FLAWS = {
    141: "a proof keeps a line too many",
    148: "a proof keeps a fact too many: it was tried before another one was gone that it needed",
}


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


def case(seed: int, folder: Path) -> Case:
    """The world of a seed."""
    return both(f"seed {seed}", *draw(seed, folder / str(seed)))


def both(where: str, matrix: Matrix, request: Request) -> Case:
    """The answers of the solver and of clingo."""
    asp = Asp(matrix, request)
    return Case(where=where, asp=asp, answer=solve(matrix, request), best=asp.stack())


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """All worlds."""
    folder = tmp_path_factory.mktemp("worlds")
    return [case(seed, folder) for seed in range(WORLDS)]


def test_the_worlds_hold_what_they_should(cases: list[Case]) -> None:
    """Every kind of row occurs often, worlds with a cycle too: else the other tests prove little."""
    seen = Counter(head for each in cases for head in {row[0] for row in each.asp.rows})
    seen.update(flag for each in cases for flag in features(each))
    assert [name for name in (*ROWS, *FLAGS, *MORE) if seen[name] < 20] == [], seen


ROWS = ("wish", "limit", "waiver", "pin", "here", "admits")
FLAGS = ("on_gpu", "ptx", "deferred", "ignored", "preferred", "measured")
MORE = ("cycle", "absent", "several", "assembled", "fact on a component", "contested")


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
    there["contested"] = any(world.open(name) or name in known for name in world.contested)
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


def one_after_another(asp: Asp) -> dict[str, str]:
    """The stack that the promise describes; clingo says each time whether one is still possible."""
    request = asp.world.request
    decided: dict[str, str] = {}
    while open_ := needed(asp, decided) - set(decided):
        name = min(open_, key=lambda name: preference(request, name))
        versions = [version for version, _ in asp.world.releases[name]]
        decided[name] = next(version for version in versions if asp.stack({**decided, name: version}))
    return {name: version for name, version in decided.items() if not asp.world.package(name)}


def preference(request: Request, name: str) -> tuple[bool, bool, str]:
    """What is decided first: the engine, then what is pinned, then the alphabet."""
    return name != request.engine, name not in {pin.name for pin in request.pins}, name


def needed(asp: Asp, decided: dict[str, str]) -> set[str]:
    """The engine, what is pinned, and what the decided versions ask for."""
    roots = {str(row[1]) for row in asp.rows if row[0] in ("engine", "pin")}
    here = asp.world.request.known
    asked = [row for row in asp.rows if row[0] == "wish" or (row[0] == "limit" and row[3] in here)]
    return roots | {str(row[3]) for row in asked if decided.get(str(row[1])) == row[2]}


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


def kept_by(proof: Proof, asp: Asp) -> Request:
    """The request with nothing but a proof's pins and facts; what may stand in is settled with all of them."""
    request = replace(asp.world.request, pins=proof.pins, stand_ins=asp.world.stand_ins())
    for name in set(request.known) - set(proof.facts):
        request = without_fact(request, name)
    return request


def alone_in(proof: Proof, asp: Asp) -> Request:
    """The same about the engine as it was asked for, and with no lines but the proof's."""
    kept, matrix = kept_by(proof, asp), asp.world.matrix
    releases = [release for name in matrix.names() for release in matrix.component(name).releases]
    others = {line_of(claim) for release in releases for claim, _ in asp.world.said(release)} - set(proof.lines)
    return replace(kept, pins=tuple(dict.fromkeys(proof.asked + proof.pins)), ignored=kept.ignored | others)


def one_less(proof: Proof, kept: Request, alone: Request) -> Iterator[tuple[str, Request]]:
    """Each part left out in turn: pins and facts of all that the matrix says, lines of the proof alone."""
    yield from ((pin.said, without_pin(kept, pin)) for pin in proof.pins)
    yield from ((name, without_fact(kept, name)) for name in proof.facts)
    yield from ((str(line), replace(alone, ignored=alone.ignored | {line})) for line in proof.lines)


CHECKS: tuple[Callable[[Case], None], ...] = (check_verdict, check_engine, check_best, check_proof)


@pytest.mark.parametrize("check", CHECKS[1:3])
def test_the_stack_is_the_best(check: Callable[[Case], None], cases: list[Case]) -> None:
    for each in cases:
        check(each)


def test_proofs_are_proofs_and_minimal(cases: list[Case]) -> None:
    impossible = [each for seed, each in enumerate(cases) if each.best is None and seed not in FLAWS]
    assert len(impossible) > PROOFS
    for each in impossible[:PROOFS]:
        check_proof(each)


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.xfail(strict=True, reason=why)) for seed, why in FLAWS.items()]
)
def test_proofs_that_go_wrong(seed: int, tmp_path: Path) -> None:
    check_proof(case(seed, tmp_path))


@pytest.mark.parametrize(("name", "spec"), [("numpy", ">=2"), ("driver", "400")])
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


def test_a_package_has_each_version_once(tmp_path: Path) -> None:
    """numpy 2 is its row 2.0, and what the row claims counts."""
    claimed = {"kind": "component", "releases": [{"version": "1.0", "requires": {"numpy": [">=1"]}}]}
    world = {
        "engine": {"kind": "engine", "releases": [{"version": "1.0", "requires": {"numpy": ["==2"]}}]},
        "cuda": claimed,
        "numpy": {"kind": "package", "releases": [{"version": "2.0", "requires": {"cuda": ["<1"]}}]},
    }
    worlds.write_matrix(tmp_path, world)
    request = Request(engine="engine", pins=(worlds.pin("cuda", ">=1"),), known={})
    check_verdict(both("numpy 2", load(tmp_path), request))


def test_a_package_may_be_older_than_every_line(tmp_path: Path) -> None:
    """Some wheel below 2 pleases both; that it has no row does not matter to uv."""
    world = {
        "engine": {"kind": "engine", "releases": [{"version": "1.0", "requires": {"wheel": ["<2"]}}]},
        "cuda": {"kind": "component", "releases": [{"version": "1.0", "requires": {"wheel": ["<3"]}}]},
    }
    worlds.write_matrix(tmp_path, world)
    request = Request(engine="engine", pins=(worlds.pin("cuda", ">=1"),), known={})
    assert isinstance(solve(load(tmp_path), request), Stack)
