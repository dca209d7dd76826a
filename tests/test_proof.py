"""A proof is one (what it keeps cannot hold together) and is minimal (leaving out any line gives a stack)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from envctl.claims import claims_of
from envctl.explain import MAX_LINES, no_stack
from envctl.matrix import Matrix, load
from envctl.proof import Proof, minimal
from envctl.request import Known, Pin, Request, line_of, without_fact, without_pin
from envctl.solver import Conflict, Stack, solve
from envctl.versions import parse_pin
from tests import solver_worlds as worlds
from tests.test_solver import OPEN, REAL

WORLDS = 200


def kept(request: Request, proof: Proof) -> Request:
    """The request with nothing but the pins and facts that the proof keeps."""
    for name in set(request.known) - set(proof.facts):
        request = without_fact(request, name)
    return replace(request, pins=proof.pins)


def with_lines(matrix: Matrix, request: Request, proof: Proof) -> Request:
    """Every claim of the matrix is passed over, except the proof's."""
    lines = {
        line_of(claim)
        for name in matrix.names()
        for release in matrix.component(name).releases
        for claim, _ in claims_of(matrix, release, request)
    }
    return replace(request, ignored=frozenset(lines - set(proof.lines)))


def one_less(request: Request, alone: Request, proof: Proof) -> Iterator[tuple[str, Request]]:
    """Each part left out in turn: pins and facts with all that the matrix says, lines with nothing but the proof."""
    for pin in proof.pins:
        yield pin.said, without_pin(request, pin)
    for name in proof.facts:
        yield name, without_fact(request, name)
    for line in proof.lines:
        yield str(line), replace(alone, ignored=alone.ignored | {line})


def check(matrix: Matrix, conflict: Conflict, where: str) -> None:
    """Both halves of the promise."""
    proof = minimal(matrix, conflict)
    request = kept(conflict.request, proof)
    alone = with_lines(matrix, replace(request, pins=tuple(dict.fromkeys(proof.asked + proof.pins))), proof)
    for proven in (request, alone):
        assert isinstance(solve(matrix, proven), Conflict), f"{where}: what is kept is no proof"
    for part, fewer in one_less(request, alone, proof):
        assert isinstance(solve(matrix, fewer), Stack), f"{where}: {part} could have been left out"


def test_proofs_of_random_worlds_are_minimal(tmp_path: Path) -> None:
    conflicts = 0
    for seed in range(WORLDS):
        matrix, request = worlds.draw(seed, tmp_path / str(seed))
        answer = solve(matrix, request)
        if isinstance(answer, Conflict):
            conflicts += 1
            check(matrix, answer, f"seed {seed}")
    assert conflicts > WORLDS * 0.2


def ask(engine: str, *pins: tuple[str, str], **facts: str) -> Conflict:
    """A conflict of the real matrix."""
    made = tuple(Pin(name=name, condition=parse_pin(name, spec), said=f"--pin {name}={spec}") for name, spec in pins)
    known = REAL | {name: Known(values=(value,), origin="test") for name, value in facts.items()}
    request = Request(engine=engine, pins=made, known=known, deferred=OPEN - set(known), on_gpu="driver" in facts)
    answer = solve(load(), request)
    assert isinstance(answer, Conflict)
    return answer


def test_proofs_of_the_real_matrix_are_minimal_and_fit_a_screen() -> None:
    cases = [
        ask("tensorrt", ("tensorrt", "8.6"), driver="390.12"),
        ask("tensorrt", ("tensorrt", "8.6"), gpu="12.0"),
        ask("tensorrt", ("tensorrt", "10.7"), ("cuda", "11.4")),
        ask("tensorrt-rtx", ("tensorrt-rtx", "1.7"), gpu="9.0"),
        ask("onnxruntime", ("onnxruntime", "1.17"), ("python", "3.13")),
        ask("onnxruntime", ("onnxruntime", "1.17"), opset="21"),
        ask("tensorflow", ("tensorflow", "2.17"), driver="470.82"),
    ]
    for conflict in cases:
        check(load(), conflict, str(conflict.request.pins))
        error = no_stack(load(), conflict)
        assert 2 <= len(error.because) <= MAX_LINES, error.because
        assert all(reason.source for reason in error.because if "more claims" not in reason.text)
