"""Bytes that a thread makes ahead of their use, and what a lock's wheels are known to bring."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from envctl.oci.contents import _clashes, _has_one_of
from envctl.oci.threads import AHEAD, ENOUGH, ahead


def test_the_same_bytes_in_larger_blocks() -> None:
    blocks = [bytes([number % 251]) * (number * 7 % 5000) for number in range(3000)]
    made = list(ahead(iter(blocks)))
    assert b"".join(made) == b"".join(blocks)
    assert all(len(block) >= ENOUGH for block in made[:-1])


def test_a_failure_comes_after_the_bytes_before_it() -> None:
    def blocks() -> Iterator[bytes]:
        yield bytes(ENOUGH)
        raise ValueError("no more")

    made = ahead(blocks())
    assert next(made) == bytes(ENOUGH)
    with pytest.raises(ValueError, match="no more"):
        next(made)


def test_whoever_stops_reading_ends_the_thread() -> None:
    count = 0

    def endless() -> Iterator[bytes]:
        nonlocal count
        while True:
            count += 1
            yield bytes(ENOUGH)

    with closing(ahead(endless())) as made:
        next(made)
    for _ in range(1000):
        if threading.active_count() == 1:
            break
        time.sleep(0.01)
    before = count
    time.sleep(0.05)
    assert count == before <= 2 * AHEAD + 4


@pytest.mark.parametrize(
    ("one", "other", "clashes"),
    [
        (["a/b.py", "c.py"], ["a/c.py", "d/e.py"], set()),
        (["a/b.py", "c.py"], ["a/b.py"], {"a/b.py"}),
        (["a/b"], ["a/b/c/d.py"], {"a/b"}),
        (["a"], ["a/b/c/d.py", "a/b/e.py"], {"a"}),
    ],
)
def test_paths_that_cannot_be_together(one: list[str], other: list[str], clashes: set[str]) -> None:
    assert _clashes([one, other]) == _clashes([other, one]) == clashes
    assert [_has_one_of(clashes, names) for names in (one, other, ["z.py"])] == [bool(clashes)] * 2 + [False]
