"""What a model file says of itself, read from its header without any framework.

The host never runs a parser of an engine on a file it does not trust: `protobuf` walks the wire format over a
memory map, so that weights are skipped instead of read, and every length is checked against the file. `inspect` tells
any format's facts, `read` those of an ONNX model that is whole.
"""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

from envctl.errors import BadInput, Reason
from envctl.model.beside import WeightsAway, refuse_missing
from envctl.model.facts import Format, ModelFacts, Signature, Tensor

__all__ = ["Format", "ModelFacts", "Signature", "Tensor", "WeightsAway", "inspect", "read", "whole"]


def read(path: Path) -> ModelFacts:
    """The facts of an ONNX model, with its digest; raises `BadInput` that says what the file really is."""
    from envctl.model import onnx_header, sniff

    if _is_folder(path):
        raise BadInput(f"{path} is a folder", do=["give the model file; folders (SavedModel) are not supported yet"])
    sniff.refuse_impostors(path)
    try:
        return whole(onnx_header.read(path))
    except PermissionError as error:
        raise BadInput(f"cannot read {path}", because=[Reason(text=str(error))]) from error


def whole(facts: ModelFacts) -> ModelFacts:
    """The facts of a model file with its digest; raises `WeightsAway` where a file of its weights is not there."""
    from envctl.tree import sha256_of

    refuse_missing(facts.path, facts.missing)
    return replace(facts, sha256=sha256_of(facts.path))


def inspect(path: Path) -> ModelFacts:
    """The facts of a model file or SavedModel folder of any format; raises `BadInput` for what is no model."""
    from envctl.model.dispatch import facts_of

    return facts_of(path, folder=_is_folder(path))


def _is_folder(path: Path) -> bool:
    """Whether it is a folder; raises `BadInput` where there is nothing that can be read."""
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        do = ["check the path; a relative one starts at the current folder"]
        raise BadInput(f"no such file: {path}", do=do) from error
    except (OSError, ValueError) as error:  # a folder that may not be entered, a name that no file can have
        raise BadInput(f"cannot read {path}", because=[Reason(text=str(error))]) from error
    if stat.S_ISDIR(kind):
        return True
    if not stat.S_ISREG(kind):
        raise BadInput(f"{path} is no regular file", do=["save the model as a file first: it is read more than once"])
    return False
