"""The command line: options in, exit code out. One file a command group."""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Entry point of the `envctl` program."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    # what a command makes lives until it ends: collecting garbage would only look through it again and again
    gc.disable()
    # numpy only makes inputs and compares: a thread a core for its algebra would cost more than they do
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from envctl.cli.app import app

        app()
    except KeyboardInterrupt:
        print("interrupted; what was running has been stopped", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        gc.freeze()  # or the interpreter would look through everything once more before it ends (50 ms)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    """A polite kill cleans up as Ctrl-C does."""
    raise KeyboardInterrupt
