"""`envctl matrix ask`: items as people write them (`tensorrt==8.6.1`, `gpu=9.0`) -> the matrix's answer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from envctl.admitted import Admitted, admitted
from envctl.errors import BadInput
from envctl.matrix import Matrix
from envctl.question import Answer, answer, unknown_release
from envctl.request import Pin
from envctl.versions import Condition, parse_pin
from envctl.workflow.machine import read_system


def ask(matrix: Matrix, words: list[str]) -> Answer:
    """The answer about two or more items; raises `BadInput` for one that cannot be read or names nothing known."""
    items = tuple(read_item(matrix, word) for word in words)
    if len(items) < 2:
        raise BadInput("a question needs two items", do=['for example: envctl matrix ask "tensorrt==8.6.1" "gpu==9.0"'])
    for index, item in enumerate(items):
        for other in items[:index]:
            if other.name == item.name:
                raise BadInput(f"{item.name} is named twice: {other.said} and {item.said}", do=["keep one of them"])
    return answer(matrix, items)


def ask_many(matrix: Matrix, path: Path) -> Iterator[tuple[str, Answer]]:
    """Each line of a file of questions with its answer; what cannot be read is answered with unknown, and says why."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    for line in lines:
        words = shlex.split(line, comments=True)
        if words:
            yield " ".join(words), _answer_or_why_not(matrix, words)


def range_of(matrix: Matrix, words: list[str]) -> Admitted | Answer:
    """The versions of the component named last that go with the items before it."""
    if len(words) < 2 or not re.fullmatch(r"[\w.-]+", words[-1]):
        raise BadInput("give items and then a name", do=['for example: envctl matrix range "tensorflow==2.15" python'])
    name = canonicalize_name(words[-1])
    items = tuple(read_item(matrix, word) for word in words[:-1])
    for item in items:
        if unknown := unknown_release(matrix, item):
            return unknown
    if name in {item.name for item in items}:
        raise BadInput(f"{name} is among the items", do=["name another component"])
    return admitted(matrix, items, name)


def _answer_or_why_not(matrix: Matrix, words: list[str]) -> Answer:
    try:
        return ask(matrix, words)
    except BadInput as error:
        return Answer(verdict="unknown", because=error.what, nearest=tuple(error.do))


def read_item(matrix: Matrix, word: str) -> Pin:
    """`gpu==9.0`, `gpu=9.0` and `gpu>=8.0`: a component and what its version must be."""
    found = re.fullmatch(r"\s*([A-Za-z][\w.-]*?)\s*(===?|=|[<>!~]=?)\s*(.+?)\s*", word)
    if not found:
        raise BadInput(f"{word!r} is not NAME==VERSION", do=['for example "tensorrt==8.6.1" or "driver>=525"'])
    name, sign, rest = canonicalize_name(found[1]), found[2], found[3]
    kind = matrix.component(name).kind  # an unknown name ends here, with the nearest one
    if name == "os":
        condition = Condition(any=(f"=={read_system(rest)}",))
    elif kind == "host" and rest[0].isalpha():
        condition = Condition(any=(rest.replace(" ", ",").replace("-", "_"),))
    else:
        condition = parse_pin(name, rest if sign in ("=", "==", "===") else sign + rest)
    return Pin(name=name, condition=condition, said=f"{name}{sign}{rest}")
