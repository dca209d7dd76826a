"""What vendors say of pairs, as questions to the real matrix: tests/facts/*.txt, a verdict and two items a line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from envctl.matrix import load
from envctl.workflow.question import ask

FACTS = sorted((Path(__file__).parent / "facts").glob("*.txt"))


def questions(path: Path) -> list[list[str]]:
    """The words of each line without its comment: the verdict, then the items."""
    lines = [line.partition("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [words for words in lines if words]


@pytest.mark.parametrize("path", FACTS, ids=lambda path: path.stem)
def test_the_matrix_says_what_the_vendors_say(path: Path) -> None:
    matrix = load()
    wrong = [words for words in questions(path) if ask(matrix, words[1:]).verdict != words[0]]
    assert wrong == []


def test_both_answers_are_frequent() -> None:
    """A matrix that answers the same whatever is asked must fail the test above."""
    verdicts = Counter(words[0] for path in FACTS for words in questions(path))
    assert set(verdicts) == {"compatible", "incompatible"}
    assert min(verdicts.values()) > 400
