"""The model that a run is given, of whatever format: its facts, its digest, and the names that people and runs use."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from envctl import model
from envctl.errors import BadInput
from envctl.model import ModelFacts, Tensor
from envctl.tree import sha256_of


def read_source(path: Path) -> ModelFacts:
    """The facts of a model; raises `BadInput` for what is none, and where its inputs or outputs cannot be told."""
    facts = model.inspect(path)
    if facts.format == "onnx":
        return model.whole(facts)
    if facts.ambiguous:
        do = [f"name them when you export it; envctl inspect {path} shows the candidates"]
        raise BadInput(f"{path} does not say which its {' and '.join(facts.ambiguous)} are", do=do)
    place = facts.folder if facts.format == "saved-model" else facts.path
    return replace(
        facts, path=place, sha256=digest(place), inputs=_public(facts.inputs), outputs=_public(facts.outputs)
    )


def _public(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Tensors by their keys in the signature, where there is one: those are kept through conversions. What the graph
    calls them becomes the key."""
    return tuple(replace(each, name=each.key or each.name, key=each.name) for each in tensors)


def digest(path: Path) -> str:
    """The sha256 of a file, or of the sorted names and digests of a folder's files."""
    if path.is_file():
        return sha256_of(path)
    files = sorted(each for each in path.rglob("*") if each.is_file())
    lines = "".join(f"{sha256_of(each)}  {each.relative_to(path).as_posix()}\n" for each in files)
    return hashlib.sha256(lines.encode()).hexdigest()
