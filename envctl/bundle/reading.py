"""Files out of a bundle: checked on their way, joined where they were cut; what is wrong is named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from envctl.bundle.manifest import File, Part
from envctl.errors import BadInput, Reason

BLOCK = 1 << 20
SHOWN = 12


def check_there(folder: Path, files: tuple[File, ...]) -> None:
    """Raise `BadInput` that names every part of the files that is missing or has another size; nothing is read."""
    wrong = [(part, why) for file in files for part in file.lying if (why := _why_wrong(folder / part.path, part))]
    if wrong:
        because = [Reason(text=why, source=part.path) for part, why in wrong[:SHOWN]]
        more = [Reason(text=f"and {len(wrong) - SHOWN} more")] if len(wrong) > SHOWN else []
        raise BadInput(f"{folder} is not a whole bundle", because=[*because, *more], do=_do(folder))


def _why_wrong(path: Path, part: Part) -> str:
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    return "" if size == part.size else f"cut off or changed: it has {size} bytes, {part.size} belong there"


def blocks(folder: Path, file: File) -> Iterator[bytes]:
    """The file's bytes, joined. Raises `BadInput` at the end of a part, and of the whole, that has another hash."""
    whole = hashlib.sha256()
    for part in file.lying:
        own = hashlib.sha256()
        for block in _read(folder, part):
            own.update(block)
            whole.update(block)
            yield block
        if own.hexdigest() != part.sha256:
            raise _damaged(folder, part.path, own.hexdigest(), part.sha256)
    if whole.hexdigest() != file.sha256:
        raise _damaged(folder, file.path, whole.hexdigest(), file.sha256)


def _read(folder: Path, part: Part) -> Iterator[bytes]:
    try:
        with (folder / part.path).open("rb") as stream:
            while block := stream.read(BLOCK):
                yield block
    except OSError as error:
        because = [Reason(text=str(error), source=part.path)]
        raise BadInput(f"{part.path} of the bundle cannot be read", because=because, do=_do(folder)) from error


def _damaged(folder: Path, path: str, found: str, wanted: str) -> BadInput:
    because = [Reason(text=f"its SHA-256 is {found}, not {wanted}", source=path)]
    return BadInput(f"{path} of the bundle is damaged", because=because, do=_do(folder))


def _do(folder: Path) -> list[str]:
    again = "carry that over again, then the same command: what is in the cache already stays"
    return [again, f"see all that is wrong: cd {folder} && sha256sum --quiet -c SHA256SUMS"]
