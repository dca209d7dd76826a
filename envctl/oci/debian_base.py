"""A base made here of Debian packages, kept in the store as an OCI layout: no daemon and no registry has a part in it.

Its layer's tar is a function of the packages alone; it is stored as GNU gzip packs it, whose output has not changed in
many years, so that the digest is the same elsewhere too.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import IO

from envctl.errors import HostLacks, Reason
from envctl.oci.bases import BaseImage, base_image, being_made, folder_of, point_to, publish
from envctl.oci.blobs import file_blob, layer_of
from envctl.oci.cleaned import write_cleaned
from envctl.oci.content import LAYER_GZIP, Descriptor, Image, compact_json
from envctl.oci.debian import architecture, bootstrap, is_removed
from envctl.oci.layout import blob_path, read_layout, write_documents
from envctl.spec import Base
from envctl.tree import disk_errors, sha256_of

EPOCH = "1970-01-01T00:00:00Z"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def make_base(base: Base, mirrors: Iterable[str], say: Callable[[str], None]) -> BaseImage:
    """Make the base from what Debian's mirror has now and keep it. Raises `HostLacks` for what this host lacks."""
    with being_made(base.name.replace(":", "-")) as folder:
        try:
            bootstrap(base, folder / "raw.tar", mirrors, say)
            say(f"{base.name}: writing the layer")
            image = _image(base, folder)
            (folder / "raw.tar").unlink()
            write_documents(folder, image, base.name)
            publish(folder, image.digest)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    made = base_image(read_layout(folder_of(image.digest)), base.name)
    point_to(base.name, image.digest)
    return made


def _image(base: Base, folder: Path) -> Image:
    """The image of the tar that mmdebstrap wrote; its one blob is written into the layout."""
    packed = folder / "layer.gz"
    diff_id, size = _pack(folder / "raw.tar", packed)
    digest = f"sha256:{sha256_of(packed)}"
    stored = Descriptor(media_type=LAYER_GZIP, digest=digest, size=packed.stat().st_size)
    target = blob_path(folder, digest)
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        packed.rename(target)
    layer = layer_of(file_blob(target, stored, base.name), diff_id, size)
    return Image(config=_config(base, diff_id), layers=(layer,))


def _config(base: Base, diff_id: str) -> bytes:
    """The configuration: nothing in it depends on when or where it is made."""
    data = {
        "architecture": architecture(),
        "os": "linux",
        "created": EPOCH,
        "config": {"Env": [PATH], "Cmd": ["/bin/bash"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": EPOCH, "created_by": f"envctl base {base.name}"}],
    }
    return compact_json(data)


class _Counted:
    """A file to write to that hashes and counts what goes through."""

    def __init__(self, target: IO[bytes]) -> None:
        self.target, self.digest, self.size = target, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self.target.write(data)


def _pack(raw: Path, packed: Path) -> tuple[str, int]:
    """Write the cleaned tar through gzip; its digest and size come back."""
    command = ["gzip", "-n", "-6", "-c"]  # -n: no name and no time
    with disk_errors(packed), packed.open("wb") as target:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=target, stderr=subprocess.PIPE, env={})
        try:
            with process.stdin as stream:  # type: ignore[union-attr]
                counted = _Counted(stream)
                write_cleaned(raw, counted, partial(is_removed))  # type: ignore[arg-type]
        except BrokenPipeError:
            pass  # gzip says why
        finally:
            words = process.stderr.read() if process.stderr else b""
            process.wait()
    if process.returncode:
        raise HostLacks("could not pack the layer", because=[Reason(text=words.decode().strip(), source="gzip")])
    return f"sha256:{counted.digest.hexdigest()}", counted.size
