"""Cells measured side by side in time: in rounds, in an order that changes, until each of them is steady."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from envctl.bench.saturation import Reach, next_point
from envctl.workflow.ask import Listener
from envctl.workflow.bout import Bout
from envctl.workflow.cells import grows

MORE = 3  # times as many rounds as were asked for, at most: what varies still is unstable
PAUSE = 0.05  # seconds: the threads of the last cell spin for a moment yet
FIRST_BATCHES = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How long and how often. `cap` bounds one answer of a worker."""

    rounds: int
    seconds: float
    cap: float
    seed: int
    cores: int
    throughput: bool


def measure(bouts: Sequence[Bout], pace: Pace, listener: Listener, save: Callable[[], None]) -> None:
    """Do all of it; what ends one cell ends no other. `save` is called whenever more is known."""
    try:
        for bout in bouts:
            listener.say(f"{bout.wish.title}: loading, warming up")
            with bout.guarded(" (before the first round)"):
                bout.open(pace.cap)
                bout.warm(pace.seconds, pace.cap)
        _rounds(bouts, pace, listener, save)
        for bout in bouts:
            _saturate(bout, pace, listener)
            save()
    finally:
        for bout in bouts:
            bout.close()


def _rounds(bouts: Sequence[Bout], pace: Pace, listener: Listener, save: Callable[[], None]) -> None:
    for number in range(MORE * pace.rounds):
        left = [bout for bout in bouts if not bout.ended and not _done(bout, pace)]
        if not left:
            return
        vary = "1 cell varies" if len(left) == 1 else f"{len(left)} cells vary"
        more = "" if number < pace.rounds else f": {vary} still"
        listener.say(f"round {number + 1} of {max(pace.rounds, number + 1)}{more}")
        for bout in random.Random(f"{pace.seed} {number}").sample(left, len(left)):
            time.sleep(PAUSE)
            with bout.guarded(f" (in round {number + 1})"):
                bout.measure(pace.seconds, pace.cap)
        save()


def _done(bout: Bout, pace: Pace) -> bool:
    return len(bout.rounds) >= pace.rounds and bout.steady(pace.rounds)


def _saturate(bout: Bout, pace: Pace, listener: Listener) -> None:
    """The best throughput of a cell alone. A failure there takes nothing from what is known already."""
    if bout.ended or not pace.throughput or bout.wish.colocate > 1:
        return
    listener.say(f"{bout.wish.title}: how many at once are best")
    reach = _reach(bout, pace)
    with bout.guarded(" (in the search for the best throughput)"):
        while point := next_point(bout.curve, reach):
            time.sleep(PAUSE)
            bout.curve.append(bout.saturate(*point, max(pace.seconds / 2, 0.1), pace.cap))


def _reach(bout: Bout, pace: Pace) -> Reach:
    return Reach(
        batch=bout.wish.batch,
        most_batch=max(FIRST_BATCHES, bout.wish.batch),
        most_concurrency=2 * pace.cores,
        grows=grows(bout.judged.work.source),
    )
