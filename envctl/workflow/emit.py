"""`envctl build --emit dockerfile`: a plain build of the same lock, to read or to run."""

from __future__ import annotations

from pathlib import Path

from envctl.aliases import read_indexes
from envctl.lock import Lock
from envctl.oci import local_base, wheels
from envctl.oci.dockerfile import dockerfile, write_context
from envctl.workflow.ask import Listener
from envctl.workflow.build import Order, base_name


def emit(lock: Lock, order: Order, folder: Path | None, listener: Listener) -> str:
    """The Dockerfile's text; with a folder, that becomes all that `docker build` needs, without network."""
    name = order.base or base_name(lock)
    text = dockerfile(lock, local_base.from_daemon(name, lock.python, listener.say), name)
    if folder:
        indexes = read_indexes(list(order.index))
        paths = wheels.bring(lock, indexes, order.folders, offline=order.offline, say=listener.say)
        write_context(text, lock, paths, folder)
    listener.say("")
    return text
