"""Files into a bundle: whole or in parts, each under its name only when it is right, those that are there not again."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from envctl.bundle.manifest import FOLDERS, NAME, SUMS, UNFINISHED, File, Manifest, Part
from envctl.errors import BadInput, HostLacks, Reason
from envctl.tree import disk_errors, sha256_of, write_whole

BLOCK = 1 << 20
PARTIAL = ".partial-"
MOST_PARTS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A file to bring along: its path in the bundle, what it is for, and its bytes in blocks, each time anew."""

    path: str
    size: int
    sha256: str
    roles: tuple[str, ...]
    blocks: Callable[[], Iterator[bytes]]


def of_file(path: str, source: Path, size: int, sha256: str, *roles: str) -> Item:
    """A file of this machine, whose hash is known."""

    def blocks() -> Iterator[bytes]:
        with source.open("rb") as stream:
            while block := stream.read(BLOCK):
                yield block

    return Item(path=path, size=size, sha256=sha256, roles=roles, blocks=blocks)


def of_bytes(path: str, data: bytes, *roles: str) -> Item:
    """A file made here."""
    digest = hashlib.sha256(data).hexdigest()
    return Item(path=path, size=len(data), sha256=digest, roles=roles, blocks=lambda: iter([data]))


@contextmanager
def being_written(folder: Path) -> Iterator[None]:
    """Have the folder alone, without a manifest until `finish`. Raises `BadInput` for one that holds something else."""
    with disk_errors(folder):
        if (
            folder.is_dir()
            and any(folder.iterdir())
            and not any((folder / each).exists() for each in (NAME, UNFINISHED))
        ):
            raise BadInput(f"{folder} holds something else than a bundle", do=["name a folder that is not there yet"])
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HostLacks(f"another envctl writes to {folder}", do=["wait for it, or name another folder"]) from error
        with disk_errors(folder):
            write_whole(folder / UNFINISHED, "the same `envctl bundle` again finishes this\n")
            (folder / NAME).unlink(missing_ok=True)
        yield
    finally:
        _remove_partials(folder)
        os.close(handle)


def put(folder: Path, item: Item, split: int) -> File:
    """Have the item in the bundle; what lies there already and is right is kept. 0: nothing is cut."""
    final = folder / item.path
    with disk_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        if split and item.size > split:
            parts = tuple(_put_parts(folder, item, split))
            return File(path=item.path, size=item.size, sha256=item.sha256, roles=item.roles, parts=parts)
        if not (final.is_file() and final.stat().st_size == item.size and sha256_of(final) == item.sha256):
            _write(final, item.blocks(), item)
    return File(path=item.path, size=item.size, sha256=item.sha256, roles=item.roles)


def _put_parts(folder: Path, item: Item, split: int) -> Iterator[Part]:
    """The item's bytes in parts of `split`; one that is there with these bytes is not written again."""
    count = -(-item.size // split)
    if count > MOST_PARTS:
        raise BadInput(f"--split would cut {item.path} into {count} parts", do=["take larger parts"])
    digest, source = hashlib.sha256(), _Bytes(item.blocks())
    for number in range(count):
        start, path = number * split, f"{item.path}.{number:03}"
        final, size = folder / path, min(split, item.size - start)
        bytes_ = _told(source.take(size), digest)
        if final.is_file() and final.stat().st_size == size:
            sha256 = hashed(bytes_)
            if sha256_of(final) != sha256:
                again = _Bytes(item.blocks())
                hashed(again.take(start))
                _write(final, again.take(size))
        else:
            sha256 = _write(final, bytes_)
        yield Part(path=path, size=size, sha256=sha256)
    _check(item, digest.hexdigest())


class _Bytes:
    """Blocks of bytes as a stream that can be read piece by piece."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self.blocks, self.rest = blocks, b""

    def take(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, in blocks; fewer at the end."""
        while size and (block := self.rest or next(self.blocks, b"")):
            block, self.rest = block[:size], block[size:]
            yield block
            size -= len(block)


def hashed(blocks: Iterator[bytes]) -> str:
    """The hash of all blocks together."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _told(blocks: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for block in blocks:
        digest.update(block)
        yield block


def _check(item: Item, sha256: str) -> None:
    if sha256 != item.sha256:
        because = [Reason(text=f"its SHA-256 is {sha256}, not {item.sha256}", source=item.path)]
        raise HostLacks(f"{item.path} changed while it was read", because=because, do=["do the same again"])


def _write(final: Path, blocks: Iterator[bytes], item: Item | None = None) -> str:
    """Write a file under its name when it is whole (and, of an item, has its hash); its hash."""
    digest, partial = hashlib.sha256(), final.with_name(f"{PARTIAL}{final.name}"[:255])
    try:
        with partial.open("wb") as stream:
            for block in blocks:
                digest.update(block)
                stream.write(block)
        if item:
            _check(item, digest.hexdigest())
        partial.chmod(0o644)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)
    return digest.hexdigest()


def finish(folder: Path, manifest: Manifest) -> None:
    """Take away what belongs to no file of the manifest, then write sums and manifest: now the bundle is whole."""
    wanted = {part.path for part in manifest.lying}
    with disk_errors(folder):
        for name in FOLDERS:
            for path in sorted((folder / name).rglob("*"), reverse=True):
                if path.is_dir() and not path.is_symlink():
                    if not any(path.iterdir()):
                        path.rmdir()
                elif str(path.relative_to(folder)) not in wanted:
                    path.unlink()
        for each in manifest.of("install"):
            if each.path.endswith(".sh"):
                (folder / each.path).chmod(0o755)
        write_whole(folder / SUMS, manifest.sums())
        write_whole(folder / NAME, manifest.text())
        (folder / UNFINISHED).unlink(missing_ok=True)


def _remove_partials(folder: Path) -> None:
    for path in folder.rglob(f"{PARTIAL}*"):
        path.unlink(missing_ok=True)
