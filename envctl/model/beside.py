"""Files that a model keeps its weights in: inside its own folder, or the model is refused."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from envctl.errors import BadInput


class WeightsAway(BadInput):
    """The model itself can be read, and the files that its weights are kept in are not where they may be."""


def check_beside(path: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the files that are not there; raises `WeightsAway` where one would lie outside the model's folder.

    A path that leaves the folder is an attack or a mistake. Nothing is opened.
    """
    return tuple(name for name in sorted(names) if not _is_there(path, name))


def _is_there(path: Path, name: str) -> bool:
    pure = PurePosixPath(name)
    try:
        target = (path.parent / name).resolve()
        there = target.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, links in a circle
        raise WeightsAway(f"{path} keeps weights in {name[:80]!r}, which no file can be called") from error
    if pure.is_absolute() or ".." in pure.parts or not target.is_relative_to(path.parent.resolve()):
        raise WeightsAway(f"{path} keeps weights outside its folder: {name!r}", do=["move them beside the model"])
    return there


def refuse_missing(path: Path, missing: Iterable[str]) -> None:
    """Raise `WeightsAway` for the first file that is not there."""
    for name in missing:
        raise WeightsAway(f"{path} keeps weights in {name!r}, which is missing", do=[f"put it beside {path.name}"])
