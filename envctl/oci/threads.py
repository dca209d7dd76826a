"""The same work for several things at once; the first failure, or Ctrl-C, ends all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TypeVar

Thing = TypeVar("Thing")
Outcome = TypeVar("Outcome")
SIDE_BY_SIDE = 4
GLANCE_SECONDS = 0.5  # how long Ctrl-C may have to wait for us to look up


def side_by_side(
    things: Iterable[Thing], work: Callable[[Thing], Outcome], stop: threading.Event
) -> Iterator[tuple[Thing, Outcome]]:
    """Each thing with what came of it, as they end. `stop` is set before a failure is raised: work heeds it."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        todo = {pool.submit(work, thing): thing for thing in things}
        left = set(todo)
        try:
            while left:
                done, left = wait(left, timeout=GLANCE_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    yield todo[future], future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
