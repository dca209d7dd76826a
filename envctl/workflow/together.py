"""Several workers at once: what ends one of them early ends them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from envctl.runner import Runner


@contextmanager
def side_by_side(runner: Runner) -> Iterator[ThreadPoolExecutor]:
    """A thread for each of three workers; whatever ends the block early (Ctrl-C too) ends the workers."""
    pool = _Together(runner)
    try:
        yield pool
    except BaseException as error:
        first = pool.first  # before the rest is killed
        runner.stop()
        if first and not isinstance(error, KeyboardInterrupt):
            raise first from None
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Together(ThreadPoolExecutor):
    """Threads for workers of one run: the first that fails ends the others."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(3)
        self.runner = runner
        self.first: BaseException | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(self._look)
        return future

    def _look(self, future: Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        if error and self.first is None:
            self.first = error
            self.runner.stop()
