"""A base's layer as it is stored: what GNU gzip makes of its tar, as that program's output has not changed in many
years, so that the same tar has the same digest everywhere."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from envctl.errors import HostLacks, Reason
from envctl.oci.blobs import file_blob, layer_of
from envctl.oci.content import LAYER_GZIP, Descriptor, Layer, blob_path
from envctl.tree import disk_errors, sha256_of

GZIP = ["gzip", "-n", "-6", "-c"]  # -n: no name and no time


class _Counted:
    """A file to write to that hashes and counts what goes through."""

    def __init__(self, target: IO[bytes]) -> None:
        self.target, self.digest, self.size = target, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self.target.write(data)


def pack_layer(folder: Path, write: Callable[[IO[bytes]], Any], name: str) -> Layer:
    """The layer of the tar that `write` writes; its blob lies in the folder's layout. `name` is the image's."""
    packed = folder / "layer.gz"
    diff_id, size = _pack(write, packed)
    digest = f"sha256:{sha256_of(packed)}"
    stored = Descriptor(media_type=LAYER_GZIP, digest=digest, size=packed.stat().st_size)
    target = folder / blob_path(digest)
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        packed.rename(target)
    return layer_of(file_blob(target, stored, name), diff_id, size)


def _pack(write: Callable[[IO[bytes]], Any], packed: Path) -> tuple[str, int]:
    """Write the tar through gzip; its digest and size come back."""
    with disk_errors(packed), packed.open("wb") as target:
        process = subprocess.Popen(GZIP, stdin=subprocess.PIPE, stdout=target, stderr=subprocess.PIPE, env={})
        try:
            with process.stdin as stream:  # type: ignore[union-attr]
                counted = _Counted(stream)
                write(cast(IO[bytes], counted))
        except BrokenPipeError:
            pass  # gzip says why
        finally:
            words = process.stderr.read() if process.stderr else b""
            process.wait()
    if process.returncode:
        raise HostLacks("could not pack the layer", because=[Reason(text=words.decode().strip(), source="gzip")])
    return f"sha256:{counted.digest.hexdigest()}", counted.size
