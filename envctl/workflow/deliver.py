"""Artifacts into the user's folder: whole or not at all, never over a file that is not ours, each with a sidecar."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl.errors import BadInput
from envctl.host import HostFacts
from envctl.model import ModelFacts
from envctl.spec import ImageSpec
from envctl.tree import canonical_json, disk_errors, sha256_of, write_whole
from envctl.tree import deliver as copy_whole
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
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    name = stem(facts, spec)
    ours = (folder / f"{name}{SIDECAR}").is_file()
    foreign = [path.name for path in folder.glob(f"{name}.*")]
    if foreign and not ours and not ask.force:
        do = ["choose another folder (-o DIR), move them away, or overwrite them (--force)"]
        raise BadInput(f"{folder} holds {', '.join(sorted(foreign))}, which envctl did not make", do=do)


def deliver(outcome: Outcome, ask: Ask, host: HostFacts) -> None:
    """Copy what the conversion made, and write the sidecar last: it vouches for files that are there."""
    assert outcome.model and outcome.target
    folder, name = folder_for(ask), stem(outcome.model, outcome.target.plan.spec)
    digests = {}
    for made in outcome.results["convert"].artifacts:
        path = folder / f"{name}{made.suffix}"
        copy_whole(made, path)
        digests[path.name] = sha256_of(path)
        outcome.artifacts.append(path)
    note = folder / f"{name}{SIDECAR}"
    write_whole(note, canonical_json(sidecar(outcome, host, digests)))
    outcome.artifacts.append(note)


def save_arrays(path: Path, arrays: dict[str, Array]) -> None:
    """Write outputs as .npz, through a neighbour."""
    import numpy as np

    partial = path.with_name(f".partial-{path.name}")
    with partial.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for options
    partial.replace(path)
