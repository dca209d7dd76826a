"""The order of rounds, and that what ends one cell ends no other: cells of known times, without workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from envctl.bench.document import Point
from envctl.errors import JobFailed
from envctl.model import ModelFacts, Tensor
from envctl.workflow.ask import Ask
from envctl.workflow.bout import Bout
from envctl.workflow.cells import Wish
from envctl.workflow.rounds import Pace, measure
from tests.engine_jobs import Mute

PACE = Pace(rounds=4, seconds=0.0, cap=1, seed=0, cores=2, throughput=True)


class Told(Bout):
    """A cell whose rounds take the seconds that `level` says of their number, and which writes down its turns."""

    log: list[str]
    level: Callable[[int], float]
    closed = False

    def open(self, seconds: float) -> None:
        self.log.append(f"open {self.wish.said}")

    def warm(self, seconds: float, cap: float) -> None: ...

    def measure(self, seconds: float, cap: float) -> None:
        self.log.append(self.wish.said)
        self.rounds.append([[self.level(len(self.rounds) + 1)] * 10])

    def saturate(self, batch: int, lanes: int, seconds: float, cap: float) -> Point:
        return Point(batch=batch, concurrency=lanes, per_s=1.0)

    def close(self) -> None:
        self.closed = True


class _Source:
    """Of a judged cell, what the search asks for: the model."""

    from pathlib import Path

    source = ModelFacts(path=Path("m"), format="onnx", size=1, inputs=(Tensor(name="x", dtype="float32", shape=(1,)),))
    work = property(lambda self: self)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envctl.workflow.rounds.PAUSE", 0.0)


def cells(log: list[str], **levels: Callable[[int], float]) -> list[Told]:
    found = []
    for number, (name, level) in enumerate(levels.items()):
        wish = Wish(ask=Ask(task="verify", engine="openvino", pins=()), said=name, batch=1, colocate=1, number=number)
        made = Told(wish=wish, judged=cast(Any, _Source()))
        made.log, made.level = log, level
        found.append(made)
    return found


def steady(_: int) -> float:
    return 1.0


def test_cells_take_turns_in_an_order_that_changes() -> None:
    log: list[str] = []
    measure(cells(log, a=steady, b=steady, c=steady), PACE, Mute(), lambda: None)
    assert log[:3] == ["open a", "open b", "open c"]
    rounds = [tuple(log[at : at + 3]) for at in range(3, len(log), 3)]
    assert len(rounds) == 4 and all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len(set(rounds)) > 1


def test_only_what_varies_is_measured_again_and_not_for_ever() -> None:
    log: list[str] = []
    a, b, c = cells(log, a=steady, b=lambda n: 1.0 if n > 2 else 5.0, c=float)
    measure([a, b, c], PACE, Mute(), lambda: None)
    assert [len(each.rounds) for each in (a, b, c)] == [4, 6, 12]


def dies(number: int) -> float:
    if number == 3:
        raise JobFailed("it died")
    return 1.0


def test_what_ends_in_round_3_ends_alone() -> None:
    log: list[str] = []
    saved: list[int] = []
    a, b = cells(log, a=steady, b=dies)
    measure([a, b], PACE, Mute(), lambda: saved.append(len(log)))
    assert (a.ended, len(a.rounds), len(a.curve)) == (None, 4, 2)
    assert b.ended and b.ended[0] == "error" and b.ended[1].what == "it died (in round 3)"
    assert (len(b.rounds), b.curve, b.closed) == (2, [], True)
    assert len(saved) >= 4, "what is known is saved after every round"


def test_what_fails_in_the_search_keeps_its_latencies() -> None:
    (a,) = cells([], a=steady)
    a.saturate = lambda *_: (_ for _ in ()).throw(JobFailed("too much"))  # type: ignore[assignment, method-assign]
    measure([a], PACE, Mute(), lambda: None)
    assert len(a.rounds) == 4 and a.ended and "in the search for the best throughput" in a.ended[1].what


def test_every_worker_is_ended_when_all_is_interrupted() -> None:
    def interrupted(_: int) -> float:
        raise KeyboardInterrupt

    a, b = cells([], a=steady, b=interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure([a, b], PACE, Mute(), lambda: None)
    assert a.closed and b.closed
