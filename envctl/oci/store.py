"""The folder of things that images are made of: <cache>/store. What has a final name there is whole.

store/wheels/<sha256>.whl    wheels by hash
store/named/<sha256>/        a link to that wheel under its own name
store/seen/<sha256>.json     size, time and inode of a file when its hash was last computed
store/bytecode/<key>/        a wheel's modules compiled by one interpreter, as zip files
store/layers/<key>.json      what a layer comes to (digests and sizes); its bytes are made anew from the wheels
store/images/<key>.json      the layers of an image
store/names/<key>.json       the paths that a wheel brings, and of its bytecode
store/loaded/<key>.json      the answer to a command that had an image loaded (envctl/oci/again.py)
store/daemons/               what daemons were sent, and the layers of their images
store/parts/<key>.json       the Debian packages of a base, with their licences
store/bases/<digest>/        a base as an OCI layout (envctl/oci/bases.py)
store/rootfs/<key>/          a base unpacked, for its interpreter
store/trees/<key>/           a wheel unpacked as it stands in an image
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from envctl.errors import HostLacks, Reason
from envctl.tree import cache_root, canonical_json, disk_errors, sha256_of, write_whole


def place(kind: str, name: str) -> Path:
    """Where the thing of that kind and name is, or would be."""
    return cache_root() / "store" / kind / name


def read_note(kind: str, key: str) -> dict[str, Any] | None:
    """A kept JSON document; None when there is none, or none that can be read."""
    try:
        return cast(dict[str, Any], json.loads(place(kind, f"{key}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def write_note(kind: str, key: str, data: dict[str, Any]) -> None:
    """Keep a JSON document."""
    write_whole(place(kind, f"{key}.json"), canonical_json(data))


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """A folder to fill, which gets its final name when the block ends well, and is removed when it does not."""
    with disk_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".partial-{final.name[:16]}-"))
        try:
            partial.chmod(0o755)
            yield partial
            try:
                partial.rename(final)
            except OSError:  # another envctl was faster: what is there is the same
                if not final.is_dir():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def new_file(final: Path) -> Iterator[Path]:
    """A file to write, which gets its final name when the block ends well, and is removed when it does not."""
    with disk_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=final.parent, prefix=".partial-")
        os.close(handle)
        partial = Path(name)
        try:
            yield partial
            partial.chmod(0o644)
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)


def checked(path: Path, sha256: str, what: str) -> Path:
    """The path of a file whose bytes have that hash.

    The hash is computed when the file is new, or its size, time or inode are other ones than at the last time.
    Raises `HostLacks` for a file that was changed; it is removed, so that it is made anew.
    """
    stat = path.stat()
    now = {"size": stat.st_size, "mtime": stat.st_mtime_ns, "inode": stat.st_ino}
    if read_note("seen", sha256) == now:
        return path
    if sha256_of(path) != sha256:
        path.unlink(missing_ok=True)
        because = [Reason(text=f"its SHA-256 is not {sha256}", source=str(path))]
        do = ["do the same again: it was removed, and is fetched or made anew", "check the disk if that happens often"]
        raise HostLacks(f"{what} was damaged in the cache", because=because, do=do)
    write_note("seen", sha256, now)
    return path
