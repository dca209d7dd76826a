"""Programs that envctl starts end with it."""

from __future__ import annotations

import ctypes  # here and not in the child: another thread may hold the import lock when it is forked
import signal
from contextlib import suppress


def die_with_parent() -> None:
    """Have the kernel end this process with the one that started it (prctl's PR_SET_PDEATHSIG, Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
