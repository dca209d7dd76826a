"""The solver against scenario files, and against brute force in hundreds of random worlds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from envctl.errors import Reason
from envctl.explain import no_stack
from envctl.matrix import Matrix, load
from envctl.report import error_text
from envctl.request import Known, Pin, Request
from envctl.solver import Conflict, Stack, solve
from envctl.versions import Condition, parse_pin
from tests import solver_worlds as worlds

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.toml"))
SCENARIOS = [path for path in FILES if not path.stem.startswith("real_")]  # those are about the real matrix
WORLDS = 300


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVCTL_EVIDENCE", "seen.jsonl")  # the file that failures seen before are said to come from
    scenario = worlds.read(path, tmp_path)
    if "raises" in scenario.expect:
        with pytest.raises(ValueError, match=scenario.expect["raises"]):
            solve(scenario.matrix, scenario.request)
        return
    answer = solve(scenario.matrix, scenario.request)
    if "choices" in scenario.expect:
        assert isinstance(answer, Stack), no_stack(scenario.matrix, answer).because
        check_stack(scenario, answer)
    else:
        assert isinstance(answer, Conflict), answer
        check_conflict(scenario, answer)


def check_stack(scenario: worlds.Scenario, stack: Stack) -> None:
    """Versions are compared whole, reasons and sources where the scenario names them."""
    expect = scenario.expect
    assert {name: choice.version for name, choice in stack.choices.items()} == expect["choices"]
    assert {name: list(specs) for name, specs in stack.constraints.items()} == expect.get("constraints", {})
    unmet = [f"{claim.owner} needs {claim.name} {claim.condition}" for claim in stack.unmet]
    assert sorted(unmet) == sorted(expect.get("unmet", []))
    assert {name: list(stack.choices[name].why) for name in expect.get("why", {})} == expect.get("why", {})
    assert {name: stack.choices[name].source for name in expect.get("source", {})} == expect.get("source", {})
    assert worlds.broken_needs(scenario.matrix, scenario.request, stack) == []


def check_conflict(scenario: worlds.Scenario, conflict: Conflict) -> None:
    """The proof line for line; every hint is tried and must come true."""
    expect = scenario.expect
    error = no_stack(scenario.matrix, conflict)
    assert error.what == expect["what"]
    said = {(reason.text, reason.source) for reason in error.because}
    assert said == {(text, source) for text, source in expect["because"]}
    assert error.do == expect.get("do", error.do)
    for reason in error.because:
        assert reason.text in error_text(error) and reason.source in error_text(error)
    check_hints(scenario.matrix, scenario.request, error.do, ("with", "without", "on"))


def check_hints(
    matrix: Matrix, request: Request, hints: list[str], tried: tuple[str, ...] = ("with", "without")
) -> None:
    """Doing what a hint says gives the stack it promises; `tried` are the first words of the hints to follow."""
    for hint in [hint for hint in hints if hint.split()[0] in tried]:
        change, _, promised = hint.partition(": ")
        stack = solve(matrix, changed(request, change))
        assert isinstance(stack, Stack), hint
        versions = dict(part.split() for part in promised.split(", ")) if promised else {}
        assert versions == {name: stack.version(name) for name in versions}, hint


def changed(request: Request, change: str) -> Request:
    """The request with the change of a hint: other pins, a fact with another value, or a machine of other facts."""
    kept, _, said = change.partition(" instead of ")
    if kept.startswith("without "):
        return replace(request, pins=other_pins(request, kept.removeprefix("without ")))
    if kept.startswith("on a machine with "):
        known = {name: fact for name, fact in request.known.items() if name == "python"}
        return replace(request, known=known | facts_in(kept.removeprefix("on a machine with ")))
    if not said:
        return replace(request, known={**request.known, **facts_in(kept.removeprefix("with "))})
    name, value = kept.removeprefix("with ").split(" ", 1)
    exactly = Pin(name=name, condition=Condition(any=(f"=={value}",)), said=kept)
    return replace(request, pins=(*other_pins(request, said), exactly))


def facts_in(text: str) -> dict[str, Known]:
    """The facts that `driver 525.60 or newer, gpu 7.5 to 9.0, cpu avx2,fma or asimd` names, each at its first value."""
    found = {}
    for part in text.split(", "):
        name, value = part.split(" ", 1)
        first = value.split(" or ")[0].split(" to ")[0].replace(",", " ")
        found[name] = Known(values=(first,), origin="hint")
    return found


def other_pins(request: Request, said: str) -> tuple[Pin, ...]:
    """The pins without the one that was said so."""
    left = tuple(pin for pin in request.pins if pin.said != said)
    assert len(left) == len(request.pins) - 1, said
    return left


def test_scenarios_are_there() -> None:
    """An empty folder would make the test above pass without proving anything."""
    assert len(SCENARIOS) >= 120


def test_random_worlds_agree_with_brute_force(tmp_path: Path) -> None:
    """Same verdict, same newest engine, nothing chosen that breaks a need; and both kinds of worlds occur."""
    stacks = 0
    for seed in range(WORLDS):
        matrix, request = worlds.draw(seed, tmp_path / str(seed))
        answer, best = solve(matrix, request), worlds.best_by_force(matrix, request)
        if best is None:
            assert isinstance(answer, Conflict), f"seed {seed}: a stack where there is none"
            continue
        stacks += 1
        assert isinstance(answer, Stack), f"seed {seed}: engine {best} was possible"
        assert worlds.broken_needs(matrix, request, answer) == [], f"seed {seed}"
        assert answer.version("engine") == best, f"seed {seed}"
    assert WORLDS * 0.2 < stacks < WORLDS * 0.8


def test_every_conflict_has_a_proof_and_hints_that_come_true(tmp_path: Path) -> None:
    tried = 0
    for seed in range(WORLDS):
        matrix, request = worlds.draw(seed, tmp_path / str(seed))
        answer = solve(matrix, request)
        if isinstance(answer, Conflict):
            error = no_stack(matrix, answer)
            assert error.because, f"seed {seed}"
            check_hints(matrix, request, error.do)
            tried += len(error.do)
    assert tried > WORLDS / 4


def test_the_answer_does_not_depend_on_the_order_of_pins(tmp_path: Path) -> None:
    for seed in range(40):
        matrix, request = worlds.draw(seed, tmp_path / str(seed))
        orders = (request.pins, request.pins[::-1])
        forth, back = (solve(matrix, replace(request, pins=pins)) for pins in orders)
        assert isinstance(forth, Stack) == isinstance(back, Stack)
        if isinstance(forth, Stack) and isinstance(back, Stack):
            assert {n: c.version for n, c in forth.choices.items()} == {n: c.version for n, c in back.choices.items()}


REAL = {"python": Known(values=("3.11", "3.12", "3.13", "3.10", "3.9"), origin="test")}
OPEN = frozenset({"driver", "gpu", "cpu", "glibc", "opset", "ir"})


def solve_real(engine: str, *pins: tuple[str, str], **facts: Known) -> Stack | Conflict:
    """The answer of the real matrix; host facts that are not given are left open."""
    made = tuple(Pin(name=name, condition=parse_pin(name, spec), said=f"--pin {name}={spec}") for name, spec in pins)
    known = REAL | facts
    return solve(load(), Request(engine=engine, pins=made, known=known, deferred=OPEN - set(known)))


@pytest.mark.parametrize(
    ("engine", "asked"),
    [
        ("openvino", "2024.6"),
        ("openvino", "2026.4"),
        ("onnxruntime", "1.17"),
        ("onnxruntime", "1.31"),
        ("tensorrt-rtx", "1.7"),
        ("tensorrt", "8.6"),
    ],
)
def test_the_real_matrix_has_a_stack_for_each_engine_of_this_issue(engine: str, asked: str) -> None:
    stack = solve_real(engine, (engine, asked))
    assert isinstance(stack, Stack), error_text(no_stack(load(), stack))
    assert stack.version(engine).startswith(asked + ".")


def test_trt_on_a_machine_without_gpu_lists_gpu_and_driver_as_unmet() -> None:
    stack = solve_real("tensorrt", ("tensorrt", "8.6.1"))
    assert isinstance(stack, Stack)
    assert {"gpu", "driver"} <= {claim.name for claim in stack.unmet}
    assert {"cuda", "cudnn", "python"} <= set(stack.choices)


def test_trt_with_an_old_driver_has_no_stack_and_says_why() -> None:
    answer = solve_real("tensorrt", ("tensorrt", "8.6"), driver=Known(values=("390.12",), origin="nvml"))
    assert isinstance(answer, Conflict)
    error = no_stack(load(), answer)
    assert Reason(text="here driver is 390.12", source="nvml") in error.because
    assert error.what == "no stack for tensorrt 8.6 on this host"
    assert not any("asked for" in reason.text for reason in error.because), "no other TensorRT would fit either"
    chain = ("tensorrt 8.6", "cuda "), ("cuda ", "driver ")
    for owner, need in chain:
        lines = [reason for reason in error.because if reason.text.startswith(owner) and f" {need}" in reason.text]
        assert lines and all(line.source for line in lines), (owner, need)


def test_an_opset_above_the_runtime_s_ceiling_is_foreseen() -> None:
    answer = solve_real("onnxruntime", ("onnxruntime", "1.17"), opset=Known(values=("99",), origin="header of m.onnx"))
    assert isinstance(answer, Conflict)
    said = error_text(no_stack(load(), answer))
    assert [words for words in ("here opset is 99", "header of m.onnx", "opset >=7,<=20") if words not in said] == []
