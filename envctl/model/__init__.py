"""What a model file says of itself, read from its header without any framework.

The host never runs a parser of an engine on a file it does not trust: `protobuf` walks the wire format over a
memory map, so that weights are skipped instead of read, and every length is checked against the file.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from envctl.errors import BadInput, Reason


class WeightsAway(BadInput):
    """The model itself can be read, and the files that its weights are kept in are not where they may be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """An input or output: numpy's name of the element type, and the shape with None for a dimension left open."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ",".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.name} {self.dtype}[{shape}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """The header of one model file. `weights` are the element types of its constants; `ops` are (domain, name)."""

    path: Path
    format: str
    sha256: str
    size: int
    ir: int
    opsets: dict[str, int]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    ops: frozenset[tuple[str, str]]
    functions: frozenset[tuple[str, str]]
    weights: frozenset[str]
    external: tuple[str, ...]
    producer: str

    def foreign_ops(self, domains: frozenset[str]) -> list[tuple[str, str]]:
        """Operators of domains outside `domains` that the file does not define itself, sorted."""
        return sorted(op for op in self.ops - self.functions if op[0] not in domains)

    def files(self) -> list[Path]:
        """The model file and the files its weights are kept in."""
        return [self.path, *(self.path.parent / name for name in self.external)]

    def precision(self) -> str:
        """The lowest precision that the graph itself states: int8, bf16, fp16 or fp32."""
        quantised = {"DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger"}
        if quantised & {name for _, name in self.ops}:
            return "int8"
        for dtype, precision in (("bfloat16", "bf16"), ("float16", "fp16")):
            if dtype in self.weights or any(tensor.dtype == dtype for tensor in self.inputs):
                return precision
        return "fp32"


def read(path: Path) -> ModelFacts:
    """The facts of a model file; raises `BadInput` that says what the file really is."""
    from envctl.model import onnx_header, sniff

    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        do = ["check the path; a relative one starts at the current folder"]
        raise BadInput(f"no such file: {path}", do=do) from error
    except (OSError, ValueError) as error:  # a folder that may not be entered, a name that no file can have
        raise BadInput(f"cannot read {path}", because=[Reason(text=str(error))]) from error
    if stat.S_ISDIR(kind):
        raise BadInput(f"{path} is a folder", do=["give the model file; folders (SavedModel) are not supported yet"])
    if not stat.S_ISREG(kind):
        raise BadInput(f"{path} is no regular file", do=["save the model as a file first: it is read more than once"])
    sniff.refuse_impostors(path)
    try:
        return onnx_header.read(path)
    except PermissionError as error:
        raise BadInput(f"cannot read {path}", because=[Reason(text=str(error))]) from error
