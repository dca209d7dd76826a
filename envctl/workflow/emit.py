"""`envctl build --emit dockerfile`: a plain build of the same lock, to read or to run."""

from __future__ import annotations

from pathlib import Path

from envctl.lock import Lock
from envctl.oci import local_base
from envctl.oci.dockerfile import dockerfile, write_context
from envctl.workflow.ask import Listener
from envctl.workflow.build import Order, base_name, bring


def emit(lock: Lock, order: Order, folder: Path | None, listener: Listener) -> str:
    """The Dockerfile's text; with a folder, that becomes all that `docker build` needs, without network."""
    name = order.base or base_name(lock)
    text = dockerfile(lock, local_base.from_daemon(name, lock.python, listener.say), name)
    if folder:
        write_context(text, lock, bring(lock, order, listener), folder)
    listener.say("")
    return text
