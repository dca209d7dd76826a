"""Options of `envctl run` in any order: the environment's behind the task, the task's before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from envctl.cli.placed import placed
from tests.conftest import Ran

Program = Callable[..., Ran]
OWN = {"--ort": True, "--offline": False, "--help": False, "--both": True}
TASKS = {"convert": {"-o": True, "--force": False, "--help": False, "--both": True}, "exec": {}}
CASES = [
    ("--ort 1.31 convert m", "--ort 1.31 convert m"),
    ("convert m --ort 1.31", "--ort 1.31 convert m"),
    ("convert --offline m --ort=1.31 -o out", "--offline --ort=1.31 convert m -o out"),
    ("--force -o out --ort 1.31 convert m", "--ort 1.31 convert --force -o out m"),
    ("--both 1 convert m --both 2", "--both 1 convert m --both 2"),
    ("--help convert m --help", "--help convert m --help"),
    ("--ort convert convert m", "--ort convert convert m"),  # a value, however it looks
    ("convert convert --ort 1", "--ort 1 convert convert"),
    ("--ort 1.31 -o out", "--ort 1.31 -o out"),  # no task
    ("exec -- python --ort 5 -o x", "exec -- python --ort 5 -o x"),
    ("convert m --none --ort 1", "--ort 1 convert m --none"),
    ("convert m -o", "convert m -o"),  # its own command says what is missing
]


@pytest.mark.parametrize(("given", "wanted"), CASES)
def test_options_come_to_their_command(given: str, wanted: str) -> None:
    assert placed(given.split(), OWN, TASKS) == wanted.split()


def test_a_value_that_is_missing_is_not_taken_from_elsewhere() -> None:
    with pytest.raises(ValueError, match="Option '--ort' requires an argument"):
        placed(["convert", "m", "--ort"], OWN, TASKS)


ORDERS = [
    ("--ort", "1.31", "--runner", "local", "convert", "MODEL", "--precision", "fp32", "--plan"),
    ("convert", "MODEL", "--ort", "1.31", "--plan", "--precision=fp32", "--runner=local"),
    ("--plan", "--precision", "fp32", "convert", "--runner", "local", "MODEL", "--ort=1.31"),
]


@pytest.mark.parametrize("order", ORDERS, ids=["as documented", "engine last", "engine and task mixed"])
def test_a_run_is_the_same_in_any_order(envctl: Program, digits: Path, order: tuple[str, ...]) -> None:
    ran = envctl("run", *(digits if word == "MODEL" else word for word in order))
    assert ran.code == 0, ran.err
    assert ran.out.startswith("PLAN") and "ONNX Runtime (CPU) 1.31" in ran.out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("convert", "MODEL", "--ort"), "Option '--ort' requires an argument."),
        (("convert", "MODEL", "--opnvino", "2026.4"), "No such option: --opnvino"),
        (("--ort", "1.31", "MODEL", "convert"), "No such command"),
    ],
)
def test_what_cannot_be_meant_is_one_error(envctl: Program, digits: Path, words: tuple[str, ...], error: str) -> None:
    ran = envctl("run", *(digits if word == "MODEL" else word for word in words))
    assert (ran.code, ran.out) == (2, "")
    assert error in ran.err


@pytest.mark.parametrize("task", ["convert", "infer", "verify"])
def test_a_task_without_run_is_told_where_it_belongs(envctl: Program, task: str) -> None:
    ran = envctl(task, "model.onnx", "--ort", "1.31")
    assert (ran.code, ran.out) == (2, "")
    assert f"it is a task of `run`, as in envctl run --ort 1.31 {task} MODEL" in ran.err
