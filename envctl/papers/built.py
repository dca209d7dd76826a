"""What an image was made from: what its papers are about."""

from __future__ import annotations

from dataclasses import dataclass

from envctl import __version__
from envctl.errors import BadInput
from envctl.lock import Lock
from envctl.oci.content import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """An image with the lock, the base and the rules it was made from.

    `name` is the image's, without registry, tag and digest; `lock_digest` that of the lock's file (sha256:…), `base`
    the base's name and `base_digest` its digest. `revision` is the commit of the user's source, when he gave one.
    """

    name: str
    image: Image
    lock: Lock
    lock_digest: str
    base: str
    base_digest: str
    rules: str
    revision: str = ""
    envctl: str = __version__

    def __post_init__(self) -> None:
        for what, digest in (("lock", self.lock_digest), ("base", self.base_digest)):
            if not digest.startswith("sha256:") or len(digest) != len("sha256:") + 64:
                raise BadInput(f"the {what} of {self.name} has no digest: {digest!r}")


def hexadecimal(digest: str) -> str:
    """A digest without the name of its algorithm."""
    return digest.rpartition(":")[2]
