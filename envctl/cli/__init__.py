"""The command line: options in, exit code out. One file a command group."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """Entry point of the `envctl` program."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        from envctl.cli.app import app

        app()
    except KeyboardInterrupt:
        print("interrupted; what was running has been stopped", file=sys.stderr)
        raise SystemExit(130) from None


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    """A polite kill cleans up as Ctrl-C does."""
    raise KeyboardInterrupt
