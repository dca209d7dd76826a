"""The command line: options in, exit code out. One file a command group."""

from __future__ import annotations

import gc
import os
import sys

from envctl.cli.stopping import INTERRUPTED, STOPPED, heed, is_interrupt


def main() -> None:
    """Entry point of the `envctl` program."""
    heed()
    # what a command makes lives until it ends: collecting garbage would only look through it again and again
    gc.disable()
    # numpy only makes inputs and compares: a thread a core for its algebra would cost more than they do
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        if not _answered():
            from envctl.cli.app import app

            app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _end(INTERRUPTED)
        raise
    except BaseException as error:
        if not is_interrupt(error):
            raise
        print(STOPPED, file=sys.stderr)
        _end(INTERRUPTED)
    finally:
        gc.freeze()  # or the interpreter would look through everything once more before it ends (50 ms)


def _answered() -> bool:
    """Whether the command changes nothing and has its answer: before typer, which takes longer to import than that."""
    if sys.argv[1:2] != ["build"] or "--load" not in sys.argv:
        return False
    from envctl.cli.again import answered

    return answered(sys.argv[1:])


def _end(code: int) -> None:
    """End with this code now; everything is tidied up.

    Where Ctrl-C met an import that runs generated code (a dataclass's), CPython takes it for unhandled and, under
    `python -m`, would kill itself by SIGINT on the way out.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
