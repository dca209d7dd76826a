"""`envctl build --emit dockerfile`: a plain build of the same lock, to read or to run."""

from __future__ import annotations

from pathlib import Path

from envctl.base import bases
from envctl.lock import Lock
from envctl.oci import daemon
from envctl.oci.base_image import BaseImage
from envctl.oci.dockerfile import dockerfile, write_context
from envctl.oci.load import load_image
from envctl.oci.reference import has_host
from envctl.workflow.ask import Listener
from envctl.workflow.build import Order, base_of, bring


def emit(lock: Lock, order: Order, folder: Path | None, listener: Listener) -> str:
    """The Dockerfile's text; with a folder, that becomes all that `docker build` needs, without network."""
    base = base_of(lock, order, listener)
    name = _name(base)
    text = dockerfile(lock, base, name)
    if folder:
        if "@" not in name and daemon.answers():
            load_image(base.image, [name], listener.say)
        write_context(text, lock, bring(lock, order, listener), folder)
    listener.say("")
    return text


def _name(base: BaseImage) -> str:
    """The name under which `docker build` finds the base: a registry's by digest, else one that Docker has from us."""
    if "@" in base.name and has_host(base.name):
        return base.name
    made = next((each.tag for each in bases() if each.name == base.name), "")
    return made or f"envctl-base:{base.digest[7:19]}"
