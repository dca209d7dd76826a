"""What a model file says of itself, whatever its format: the nouns that all readers of this package return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

Format: TypeAlias = Literal[
    "onnx",
    "saved-model",  # a directory, or its saved_model.pb / saved_model.pbtxt
    "graph-def",
    "keras",  # the zip archive, of Keras 2 or 3: see producer_version
    "keras-h5",
    "keras-weights",  # HDF5 without an architecture
    "tflite",
    "torchscript",
    "torch-export",
    "torch-checkpoint",  # weights or a pickled module
    "pickle",
    "openvino-ir",
    "ncnn",
    "pnnx",
    "tensorrt-plan",
    "tensorrt-rtx-plan",
]
Op: TypeAlias = tuple[str, str]  # (domain, name)

# what a format's own operators are called here; all others are an extension's or the author's
OWN_DOMAINS: dict[str, frozenset[str]] = {
    "onnx": frozenset({"ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"}),
    "torchscript": frozenset({"aten", "prim"}),
    "torch-export": frozenset({"aten", "prim", "higher_order", "python"}),
    "pnnx": frozenset({"pnnx", "nn", "F", "torch", "Tensor", "aten", "prim"}),
}
CUSTOM = "custom"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """An input or output: the name that tools want (`x:0` in TensorFlow), numpy's name of the element type ("": not
    told), the shape with None for a size left open (None: the rank is not told).

    `key` is its name in the signature, `symbols` the names of open sizes; `layout` a guess with its reason.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    key: str = ""
    symbols: tuple[str, ...] = ()
    layout: str = ""
    layout_why: str = ""

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ",".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.name} {self.dtype}[{shape}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """One way to call a model."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """The header of one model. `weights` are the element types of its constants; `op_counts` are by (domain, name).

    `inputs` and `outputs` are those of the signature `signature` where there are several. `ambiguous` names what the
    file does not settle ("inputs", "outputs"): then those are candidates. `external` are files that weights are kept
    in, relative to the model's folder, `missing` those of them that are not there. `parameters` counts the elements of
    stored tensors (None: not told). `notes` say what could not be read, `risks` what would run when it is loaded.
    `traced` are (element type, shape) of the inputs that a graph was recorded with, where it does not declare them.
    `sha256` is "" where nobody asked for it.
    """

    path: Path
    format: Format
    size: int
    producer: str = ""
    producer_version: str = ""
    sha256: str = ""
    ir: int = 0
    opsets: Mapping[str, int] = field(default_factory=dict)
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    signature: str = ""
    signatures: tuple[Signature, ...] = ()
    ambiguous: tuple[str, ...] = ()
    op_counts: Mapping[Op, int] = field(default_factory=dict)
    functions: frozenset[Op] = frozenset()
    weights: frozenset[str] = frozenset()
    parameters: int | None = None
    parameter_bytes: int | None = None
    external: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    # every tensor that may be named as an input or output of a cut graph
    nameable: tuple[str, ...] = ()
    traced: tuple[tuple[str, tuple[int, ...]], ...] = ()
    notes: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()

    @property
    def ops(self) -> frozenset[Op]:
        """The operators, without their counts."""
        return frozenset(self.op_counts)

    @property
    def folder(self) -> Path:
        """The folder that the model's other files are relative to."""
        return self.path if self.path.is_dir() else self.path.parent

    def foreign_ops(self, domains: Iterable[str]) -> list[Op]:
        """Operators of domains outside `domains` that the file does not define itself, sorted."""
        return sorted(op for op in self.ops - self.functions if op[0] not in frozenset(domains))

    def custom_ops(self) -> list[Op]:
        """Operators that the format itself does not define, sorted."""
        own = OWN_DOMAINS.get(self.format)
        if own is not None:
            return self.foreign_ops(own)
        return sorted(op for op in self.ops - self.functions if op[0] == CUSTOM)

    def files(self) -> list[Path]:
        """The model file and the files its weights are kept in."""
        return [self.path, *(self.folder / name for name in self.external)]

    def precision(self) -> str:
        """The lowest precision that the graph itself states: int8, bf16, fp16 or fp32."""
        quantised = {"DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger"}
        of_format = {"openvino-ir": {"FakeQuantize"}}.get(self.format, quantised)
        if of_format & {name for _, name in self.ops} or (self.format == "tflite" and "int8" in self.weights):
            return "int8"
        for dtype, precision in (("bfloat16", "bf16"), ("float16", "fp16")):
            if dtype in self.weights or any(tensor.dtype == dtype for tensor in self.inputs):
                return precision
        return "fp32"
