"""ncnn's .param files, text and binary, and pnnx's, which begin with the same number: layers, inputs, outputs.

https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure; LAYERS: ncnn_add_layer in src/CMakeLists.txt at
a4d2ea1 of 2026-07-22 (numbers are given in that order and never change).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from envctl.model.beside import check_beside
from envctl.model.facts import CUSTOM, ModelFacts, Op, Tensor
from envctl.model.limits import MAX_NAMES, MAX_NODES, Damaged, TooMuch, mapped

MAGIC = 7767517
LAYERS = """
AbsVal ArgMax BatchNorm Bias BNLL Concat Convolution Crop Deconvolution Dropout Eltwise ELU Embed Exp Flatten
InnerProduct Input Log LRN MemoryData MVN Pooling Power PReLU Proposal Reduction ReLU Reshape ROIPooling Scale
Sigmoid Slice Softmax Split SPP TanH Threshold Tile RNN LSTM BinaryOp UnaryOp ConvolutionDepthWise Padding
Squeeze ExpandDims Normalize Permute PriorBox DetectionOutput Interp DeconvolutionDepthWise ShuffleChannel
InstanceNorm Clip Reorg YoloDetectionOutput Quantize Dequantize Yolov3DetectionOutput PSROIPooling ROIAlign
Packing Requantize Cast HardSigmoid SELU HardSwish Noop PixelShuffle DeepCopy Mish StatisticsPooling Swish Gemm
GroupNorm LayerNorm Softplus GRU MultiHeadAttention GELU Convolution1D Pooling1D ConvolutionDepthWise1D
Convolution3D ConvolutionDepthWise3D Pooling3D MatMul Deconvolution1D DeconvolutionDepthWise1D Deconvolution3D
DeconvolutionDepthWise3D Einsum DeformableConv2D GLU Fold Unfold GridSample CumulativeSum CopyTo Erf Diag CELU
Shrink RMSNorm Spectrogram InverseSpectrogram Flip SDPA RotaryEmbed
""".split()  # noqa: SIM905
CUSTOM_BIT = 1 << 8
LINE_MAX = 1 << 20
PNNX_TYPES = {
    "f32": "float32", "f64": "float64", "f16": "float16", "i32": "int32", "i64": "int64", "i16": "int16", "i8": "int8",
    "u8": "uint8", "bool": "bool", "bf16": "bfloat16",
}  # fmt: skip
SHAPED = re.compile(r"^#(\S+?)=\(([\d,?]*)\)(\w+)$")
END, ARRAY, TEXT = -233, -23300, -23400


@dataclass(slots=True)
class _Net:
    ops: Counter[Op] = field(default_factory=Counter)
    inputs: list[Tensor] = field(default_factory=list)
    made: dict[str, None] = field(default_factory=dict)  # blobs in their order
    used: set[str] = field(default_factory=set)
    shaped: dict[str, Tensor] = field(default_factory=dict)
    finals: list[str] = field(default_factory=list)
    pnnx: bool = False


def read(path: Path) -> ModelFacts:
    """The facts of a .param file of either kind; raises `Damaged`."""
    with mapped(path) as data:
        net = _binary(data) if bytes(data[:4]) == MAGIC.to_bytes(4, "little") else _net(path)
    return _facts(path, net)


def _facts(path: Path, net: _Net) -> ModelFacts:
    weights = path.with_suffix("").with_suffix(".bin") if path.name.endswith(".param.bin") else path.with_suffix(".bin")
    names = {weights.name} if weights != path else set()
    missing = check_beside(path, names)
    there = path.parent / next(iter(names), "")
    finals = net.finals or [name for name in net.made if name not in net.used]
    notes = [] if net.pnnx else ["ncnn has no batch: shapes are of one sample; the count of parameters is not kept"]
    if net.pnnx:
        notes = ["a pnnx graph, which ncnn does not load: its ncnn.param lies beside it, or is made by pnnx"]
    return ModelFacts(
        path=path,
        format="pnnx" if net.pnnx else "ncnn",
        size=path.stat().st_size,
        producer="pnnx" if net.pnnx else "ncnn",
        inputs=tuple(net.inputs),
        outputs=tuple(net.shaped.get(name, Tensor(name=name, dtype="", shape=None)) for name in finals),
        op_counts=dict(net.ops),
        parameter_bytes=there.stat().st_size if names and not missing else None,
        external=tuple(names),
        missing=missing,
        notes=tuple(notes),
    )


def _net(path: Path) -> _Net:
    """A text file, line by line."""
    net = _Net()
    with path.open("rb") as stream:
        head = [stream.readline(64), stream.readline(64)]
        counts = head[1].split()
        if head[0].strip() != str(MAGIC).encode() or len(counts) != 2 or not all(each.isdigit() for each in counts):
            raise Damaged("its second line is not two counts")
        layers = int(counts[0])
        if layers > MAX_NAMES:
            raise TooMuch(f"{layers:,} layers")
        for number in range(layers):
            line = stream.readline(LINE_MAX)
            if not line.endswith(b"\n") and number < layers - 1:
                raise Damaged(f"it ends at layer {number} of {layers}")
            _layer(net, line.decode("utf-8", errors="replace").split())
    return net


def _layer(net: _Net, words: list[str]) -> None:
    if len(words) < 4 or not (words[2].isdigit() and words[3].isdigit()) or len(words[2] + words[3]) > 12:
        raise Damaged(f"{' '.join(words)[:60]!r} is no layer")
    kind, taken, made = words[0], int(words[2]), int(words[3])
    if len(words) < 4 + taken + made:
        raise Damaged(f"layer {words[1][:60]!r} is cut off")
    blobs, settings = words[4 : 4 + taken + made], words[4 + taken + made :]
    net.pnnx = net.pnnx or kind.startswith("pnnx.")
    for setting in settings if net.pnnx else ():
        _pnnx_shape(net, setting)
    _count(net, kind, blobs[:taken], blobs[taken:], settings)


def _count(net: _Net, kind: str, taken: list[str], made: list[str], settings: list[str]) -> None:
    domain = (kind.partition(".")[0] if "." in kind else "pnnx") if net.pnnx else "ncnn" if kind in LAYERS else CUSTOM
    net.ops[domain, kind.removeprefix(f"{domain}.") if net.pnnx else kind] += 1
    net.used.update(taken)
    net.made.update(dict.fromkeys(made))
    if len(net.made) + len(net.used) > MAX_NODES:
        raise TooMuch(f"more than {MAX_NODES:,} blobs")
    if kind in ("Input", "pnnx.Input"):
        net.inputs += [net.shaped.get(name) or _input(name, settings) for name in made]
    elif kind == "pnnx.Output":
        net.finals += taken


def _input(name: str, settings: list[str]) -> Tensor:
    """An Input layer says w, h, c as 0, 1, 2 (0: open); its blob is [c,h,w]."""
    said = dict(setting.split("=", 1) for setting in settings if "=" in setting)
    sizes = [int(said[key]) for key in ("2", "1", "0") if said.get(key, "").isdigit() and len(said[key]) < 12]
    if not any(sizes):
        return Tensor(name=name, dtype="", shape=None)
    shape = tuple(size or None for size in sizes)
    reason = "ncnn's images are channels, height, width"
    layout = "CHW" if len(shape) == 3 else ""
    return Tensor(name=name, dtype="", shape=shape, layout=layout, layout_why=reason if layout else "")


def _pnnx_shape(net: _Net, setting: str) -> None:
    """`#0=(1,3,8,8)f32` tells blob 0's shape and type."""
    found = SHAPED.match(setting[:400])
    if found:
        sizes = [size for size in found[2].split(",") if size]
        shape = tuple(int(size) if size.isdigit() and len(size) < 12 else None for size in sizes)
        net.shaped[found[1]] = Tensor(name=found[1], dtype=PNNX_TYPES.get(found[3], found[3]), shape=shape)


def _binary(data: memoryview) -> _Net:
    """A file of 32-bit numbers, where blobs have no names."""
    net, words = _Net(), _numbers(data)
    next(words, None)
    layers, _ = _take(words), _take(words)
    if not 0 < layers <= MAX_NAMES:
        raise TooMuch(f"{layers:,} layers")
    for _ in range(layers):
        kind, taken, made = _take(words), _take(words), _take(words)
        if not (0 <= taken <= MAX_NAMES and 0 <= made <= MAX_NAMES):
            raise Damaged("a layer with impossible counts")
        blobs = [str(_take(words)) for _ in range(taken + made)]
        settings = [f"{key}={value}" for key, value in _settings(words)]
        _count(net, _named(kind), blobs[:taken], blobs[taken:], settings)
    return net


def _named(kind: int) -> str:
    if kind & CUSTOM_BIT:
        return f"custom {kind & ~CUSTOM_BIT}"
    return LAYERS[kind] if 0 <= kind < len(LAYERS) else f"layer type {kind}"


def _settings(words: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Each setting's number and value up to the end mark; arrays and texts are passed over."""
    while (key := _take(words)) != END:
        if key <= ARRAY:
            length = _take(words)
            for _ in range((length + 3) // 4 if key <= TEXT else length):
                _take(words)
        else:
            yield key, _take(words)


def _numbers(data: memoryview) -> Iterator[int]:
    for at in range(0, len(data) - 3, 4):
        yield int.from_bytes(data[at : at + 4], "little", signed=True)


def _take(words: Iterator[int]) -> int:
    value = next(words, None)
    if value is None:
        raise Damaged("it ends inside a layer")
    return value
