"""Which Keras a file asks for; a TensorFlow which cannot have it gets tf-keras beside it. Planned, not made."""

from __future__ import annotations

from pathlib import Path

import pytest

from envctl import matrix
from envctl.cli.pins import read_pins
from envctl.errors import NoStack
from envctl.model import inspect
from envctl.report import error_text
from envctl.request import Known
from envctl.runner import Runner, runners
from envctl.workflow.of_file import with_file
from envctl.workflow.plan import Plan, plan

KERAS = Path(__file__).parent / "models" / "small" / "keras"
KNOWN = {"python": Known(values=("3.11",), origin="a test")}


def local() -> Runner:
    return next(each for each in runners() if each.name == "local")


def planned(file: str, *said: str) -> Plan:
    facts, pins = inspect(KERAS / file), read_pins({}, list(said))
    return with_file(facts, pins, lambda all_: plan(matrix.load(), "tensorflow", all_, KNOWN, local()))


@pytest.mark.parametrize(
    ("file", "said", "keras", "legacy"),
    [
        ("functional.2.keras", (), "2.15", None),
        ("functional.2.keras", ("tensorflow==2.15",), "2.15", None),
        ("functional.2.keras", ("tensorflow==2.20",), None, "2.20"),
        ("functional.2.keras", ("tensorflow==2.16",), None, "2.16"),
        ("functional.3.keras", ("tensorflow==2.20",), ">=3", None),
    ],
)
def test_the_keras_of_the_file_comes_with_tensorflow_or_beside_it(
    file: str, said: tuple[str, ...], keras: str | None, legacy: str | None
) -> None:
    found = planned(file, *said)
    beside = [each for each in found.packages.requirements if each.startswith("tf-keras")]
    assert (beside[0].partition("==")[2][:4] if beside else None) == legacy
    assert keras is None or any(keras in each for each in found.stack.constraints["keras"])
    assert ("tf-keras" in found.packages.alone) == (legacy is not None)


def test_no_tensorflow_reads_a_file_of_a_newer_keras_of_its_major_version() -> None:
    with pytest.raises(NoStack) as refused:
        planned("functional.2.keras", "tensorflow==2.14")
    assert "was written by Keras 2.15" in error_text(refused.value)
