"""Small images made here, the same each time."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envctl.oci.content import LAYER_GZIP, LAYER_TAR, Descriptor, Image, Layer, compact_json, digest_of

BLOCK = 1 << 20


def quiet(_: str) -> None:
    """Hears what is said, and is silent."""


def run(*command: str | Path) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def entry(name: str, **attributes: Any) -> tarfile.TarInfo:
    """A member of a tar with these attributes."""
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar of members with their bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    """A tar of plain files."""
    return tar(*((entry(name), data) for name, data in files.items()))


def layer(data: bytes, *, packed: bool = True, origin: str = "") -> Layer:
    """The layer of a tar."""
    blob = gzip.compress(data, 1, mtime=0) if packed else data
    stored = Descriptor(media_type=LAYER_GZIP if packed else LAYER_TAR, digest=digest_of(blob), size=len(blob))
    return Layer(
        diff_id=digest_of(data), tar_size=len(data), tar=lambda: _blocks(data),
        blob=stored, chunks=lambda: _blocks(blob), origin=origin,
    )  # fmt: skip


def image(*layers: Layer, **config: Any) -> Image:
    """The image of layers; the keywords go into its configuration."""
    data = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
    }
    return Image(config=compact_json(data), layers=layers)


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def _blocks(data: bytes) -> Iterator[bytes]:
    return (data[start : start + BLOCK] for start in range(0, len(data), BLOCK))
