"""The same work for several things at once; the first failure, or Ctrl-C, ends all of it. And bytes made ahead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import Queue
from typing import TypeVar

Thing = TypeVar("Thing")
Outcome = TypeVar("Outcome")
SIDE_BY_SIDE = 4
AHEAD, ENOUGH = 16, 1 << 20  # blocks that wait to be taken; bytes of one
GLANCE_SECONDS = 0.5  # how long Ctrl-C may have to wait for us to look up


def side_by_side(
    things: Iterable[Thing], work: Callable[[Thing], Outcome], stop: threading.Event
) -> Iterator[tuple[Thing, Outcome]]:
    """Each thing with what came of it, as they end. `stop` is set before a failure is raised: work heeds it."""
    from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

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


def ahead(blocks: Iterator[bytes]) -> Generator[bytes, None, None]:
    """The same bytes, made by a thread of its own while those before them are used, in blocks of 1 MiB and more.

    Closing it ends the thread; what making them raised is raised here.
    """
    made: Queue[bytes | BaseException | None] = Queue(AHEAD)
    stop = threading.Event()
    thread = threading.Thread(target=_make, args=(blocks, made, stop), daemon=True)
    thread.start()
    try:
        while (block := made.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            yield block
    finally:
        stop.set()
        while not made.empty():  # it may wait for room
            made.get()


def _make(blocks: Iterator[bytes], made: Queue[bytes | BaseException | None], stop: threading.Event) -> None:
    waiting: list[bytes] = []
    size = 0
    try:
        for block in blocks:
            if stop.is_set():
                return
            waiting.append(block)
            size += len(block)
            if size >= ENOUGH:
                made.put(b"".join(waiting))
                waiting, size = [], 0
        made.put(b"".join(waiting))
        made.put(None)
    except BaseException as error:
        made.put(error)
