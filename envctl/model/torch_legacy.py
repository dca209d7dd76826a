"""Pickles that are no archive: torch.save's format of before 1.6, and any other."""

from __future__ import annotations

import io
from pathlib import Path

from envctl.model.facts import ModelFacts
from envctl.model.limits import MAX_STRUCTURE, Damaged, mapped
from envctl.model.pickles import read_pickle
from envctl.model.torch_tensors import tensors
from envctl.model.torch_zip import checkpoint, risks

# the number that torch's format begins with: torch/serialization.py, MAGIC_NUMBER
MAGIC = 0x1950A86A20F9469CFC6C


def read(path: Path) -> ModelFacts:
    """The facts of a pickle; raises `Damaged` for one that is cut off."""
    with mapped(path) as data:
        stream, cut = io.BytesIO(data[:MAX_STRUCTURE]), len(data) > MAX_STRUCTURE
    said = read_pickle(stream)
    if said.made == MAGIC:
        read_pickle(stream), read_pickle(stream)  # the protocol's version, and the machine's byte order
        said = read_pickle(stream)
        if not cut and not stream.read(1):
            raise Damaged("it ends before its weights")
        return checkpoint(path, said, list(tensors(said.made)))
    names = sorted(said.names)
    shown = f": {', '.join(names[:6])}{' …' if names[6:] else ''}" if names else ""
    notes = (f"a Python pickle, which is code for one program and no model format{shown}",)
    return ModelFacts(path=path, format="pickle", size=path.stat().st_size, notes=notes, risks=risks(said))
