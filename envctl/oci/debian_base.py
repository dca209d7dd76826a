"""A base made here of Debian packages, kept in the store as an OCI layout: no daemon and no registry has a part in it.

Its layer's tar is a function of the packages alone, and so is the digest (envctl/oci/packed_tar.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from envctl.base import Base
from envctl.oci.base_image import BaseImage
from envctl.oci.bases import base_image, being_made, folder_of, point_to, publish
from envctl.oci.blobs import packed_of
from envctl.oci.cleaned import write_cleaned
from envctl.oci.content import Image, architecture, compact_json
from envctl.oci.debian import bootstrap, is_removed
from envctl.oci.layout import read_layout
from envctl.oci.packed_tar import pack_layer
from envctl.oci.written import fill

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
            fill(packed_of(image), folder, [base.name], _silent)
            publish(folder, image.digest)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    made = base_image(read_layout(folder_of(image.digest)), base.name)
    point_to(base.name, image.digest)
    return made


def _silent(_text: str) -> None:
    """Say nothing: two small files follow the layer."""


def _image(base: Base, folder: Path) -> Image:
    """The image of the tar that mmdebstrap wrote; its one blob is written into the layout."""

    def write(target: IO[bytes]) -> None:
        write_cleaned(folder / "raw.tar", target, is_removed)

    layer = pack_layer(folder, write, base.name)
    return Image(config=_config(base, layer.diff_id), layers=(layer,))


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
