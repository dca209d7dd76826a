"""Artifacts into the user's folder: whole or not at all, never over a file that is not ours, each with a sidecar."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl.errors import BadInput
from envctl.host import HostFacts
from envctl.model import ModelFacts
from envctl.spec import ImageSpec
from envctl.tree import canonical_json, disk_errors, sha256_of
from envctl.workflow.ask import Ask
from envctl.workflow.outcome import Outcome, sidecar

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

SIDECAR = ".envctl.json"


def folder_for(ask: Ask) -> Path:
    """Where artifacts go: -o DIR, else `envctl-out` here."""
    return ask.output or Path("envctl-out")


def stem(facts: ModelFacts, spec: ImageSpec) -> str:
    """The first part of every file's name: model and engine."""
    return f"{facts.path.stem}.{spec.option}"


def check_folder(ask: Ask, facts: ModelFacts, spec: ImageSpec) -> None:
    """Raise early when the folder cannot be written, or holds files of these names that envctl did not make."""
    folder = folder_for(ask)
    check_writable(folder)
    name = stem(facts, spec)
    ours = (folder / f"{name}{SIDECAR}").is_file()
    foreign = [path.name for path in folder.glob(f"{name}.*")]
    if foreign and not ours and not ask.force:
        do = ["choose another folder (-o DIR), move them away, or overwrite them (--force)"]
        raise BadInput(f"{folder} holds {', '.join(sorted(foreign))}, which envctl did not make", do=do)


def check_writable(folder: Path) -> None:
    """Raise when nothing can be written into a folder, or into the nearest one there is where it would be made."""
    with disk_errors(folder):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
        with tempfile.TemporaryFile(dir=there):
            pass


def check_file(path: Path) -> None:
    """Raise early when a file cannot be written: it is a folder, or its folder is not there or closed."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder", do=["name the file for the outputs: -o FILE.npz"])
    with disk_errors(path), tempfile.TemporaryFile(dir=path.parent):
        pass


def deliver(outcome: Outcome, ask: Ask, host: HostFacts) -> None:
    """Put what the conversion made into the folder: all of it or nothing. The sidecar vouches for files that are
    there, so the old one goes before them and the new one comes after them."""
    assert outcome.model and outcome.target
    folder, name = folder_for(ask), stem(outcome.model, outcome.target.plan.spec)
    note = f"{name}{SIDECAR}"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as staging:
            digests = {}
            for made in outcome.made():
                copy = Path(staging, f"{name}{made.suffix}")
                shutil.copyfile(made, copy)
                digests[copy.name] = sha256_of(copy)
            Path(staging, note).write_text(canonical_json(sidecar(outcome, host, digests)), encoding="utf-8")
            (folder / note).unlink(missing_ok=True)
            for file in (*digests, note):
                Path(staging, file).replace(folder / file)
                outcome.artifacts.append(folder / file)


def save_arrays(path: Path, arrays: dict[str, Array]) -> None:
    """Write outputs as .npz, through a neighbour."""
    import numpy as np

    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    with disk_errors(path):
        try:
            with partial.open("wb") as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for options
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
