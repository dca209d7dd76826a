"""Folders: where the data files of envctl lie, where it keeps things, and writes that are whole or not there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from envctl.errors import HostLacks, Reason

# what the system says of a path that cannot be written: no right, no such folder (or none can be made), not a folder
FORBIDDEN = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOENT,
    errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip
# numpy's words for a full disk; its error has no number
SHORT_WRITE = re.compile(r"^\d+ requested and \d+ written$")


def payload(folder: str) -> Path:
    """The data folder (`matrices`, `images`, …): inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder


def cache_root() -> Path:
    """The folder that holds environments, locks and jobs (`ENVCTL_CACHE`, else the user's cache folder)."""
    chosen = os.environ.get("ENVCTL_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    from platformdirs import user_cache_path

    return user_cache_path("envctl")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(data: object) -> str:
    """JSON whose bytes depend on the data alone: sorted keys, two spaces, one newline at the end."""
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write `text` to `path` so that a reader sees the old file or the new one, never a part."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def touch(path: Path) -> None:
    """Note that something in the cache was used just now (`envctl cache prune` goes by that), where that is allowed."""
    with suppress(OSError):
        os.utime(path)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what a full disk or a forbidden folder raises into one clear error about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or SHORT_WRITE.search(str(error)):
            do = ["free some space, or choose another folder (-o DIR, ENVCTL_CACHE=DIR)"]
            raise HostLacks(f"no space left to write {path}", because=[Reason(text=str(error))], do=do) from error
        if error.errno in FORBIDDEN:
            do = ["choose a folder you may write to (-o DIR, ENVCTL_CACHE=DIR)"]
            raise HostLacks(f"cannot write {path}", because=[Reason(text=str(error))], do=do) from error
        raise
