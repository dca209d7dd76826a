"""TensorFlow Lite models: signatures, tensors, operators, and the runtime that they ask for.

https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs has the fields' numbers; OPERATORS
was read from ai-edge-litert 2.3.0 (tests/test_inspect_frameworks.py compares it with the package).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from envctl.model.facts import CUSTOM, ModelFacts, Op, Signature, Tensor
from envctl.model.flatbuffer import Table, root
from envctl.model.layout import LAST, spatial, told
from envctl.model.limits import MAX_DEPTH, MAX_NAMES, Damaged, at_most, elements, mapped

DOMAIN = "tflite"
CUSTOM_CODE = 32
TYPES = (
    "float32", "float16", "int32", "uint8", "int64", "str", "bool", "int16", "complex64", "int8", "float64",
    "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4",
    "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip
OPERATORS = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC
LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH
SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM
ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE
TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK
LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL
FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL
REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND
HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM
BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS
HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE
ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU
DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2
UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE
STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE
STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE
STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG
STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT
STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT
STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL
STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE
STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
""".split()  # noqa: SIM905
IMAGES = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "MAX_POOL_2D", "AVERAGE_POOL_2D", "CONV_3D"}
MIN_RUNTIME = "min_runtime_version"


@dataclass(frozen=True, slots=True)
class _Graph:
    """A graph and its tensors."""

    table: Table
    tensors: list[Table]


def read(path: Path) -> ModelFacts:
    """The facts of a .tflite file; raises `Damaged`."""
    with mapped(path) as data:
        return _facts(path, root(data))


def _facts(path: Path, model: Table) -> ModelFacts:
    graphs = [_Graph(each, list(each.tables(0))) for each in at_most(MAX_NAMES, "graphs", model.tables(2))]
    if not graphs:
        raise Damaged("it has no graph")
    ops = _ops(model, graphs)
    main = graphs[0]
    inputs, outputs = (
        tuple(_tensor(main, index, ops) for index in main.table.numbers(field) or ()) for field in (1, 2)
    )
    ways = tuple(_signature(each, graphs, ops) for each in at_most(MAX_NAMES, "signatures", model.tables(7)))
    chosen = next((each for each in ways if each.inputs), None)
    stored = list(_stored(model, graphs))
    return ModelFacts(
        path=path,
        format="tflite",
        size=path.stat().st_size,
        producer=model.text(3)[:80] or "unknown converter",
        producer_version=_min_runtime(model),
        opsets={"tflite": model.number(0, 4)},
        inputs=chosen.inputs if chosen else inputs,
        outputs=chosen.outputs if chosen else outputs,
        signature=chosen.name if chosen else "",
        signatures=ways,
        op_counts=dict(ops),
        weights=frozenset(dtype for dtype, _, _ in stored),
        parameters=sum(count for _, count, _ in stored),
        parameter_bytes=sum(size for _, _, size in stored),
        notes=tuple(_notes(ops)),
    )


def _notes(ops: Counter[Op]) -> list[str]:
    flex = sorted(name for domain, name in ops if domain == CUSTOM and name.startswith("Flex"))
    return [f"{', '.join(flex)}: TensorFlow's own operators, which need the Flex delegate"] if flex else []


def _ops(model: Table, graphs: list[_Graph]) -> Counter[Op]:
    codes = [_operator(each) for each in at_most(MAX_NAMES, "kinds of operators", model.tables(1))]
    found: Counter[Op] = Counter()
    for graph in graphs:
        for operator in graph.table.tables(3):
            index = operator.number(0, 4, signed=False)
            if index >= len(codes):
                raise Damaged(f"operator {index} of {len(codes)}")
            found[codes[index]] += 1
    return found


def _operator(code: Table) -> Op:
    number = max(code.number(0, 1), code.number(3, 4))
    if number == CUSTOM_CODE:
        return CUSTOM, code.text(1) or "?"
    return DOMAIN, OPERATORS[number] if number < len(OPERATORS) else f"operator {number}"


def _tensor(graph: _Graph, index: int, ops: Counter[Op], key: str = "") -> Tensor:
    if not 0 <= index < len(graph.tensors):
        raise Damaged(f"tensor {index}, which is not there")
    one = graph.tensors[index]
    found = Tensor(name=one.text(3), dtype=_type(one), shape=_shape(one), key=key)
    if spatial(found) and IMAGES & {name for _, name in ops} and len(found.shape or ()) >= 4:
        return told(found, LAST, "TensorFlow Lite's convolutions take channels last only")
    return found


def _type(tensor: Table) -> str:
    code = tensor.number(1, 1)
    return TYPES[code] if 0 <= code < len(TYPES) else f"type {code}"


def _shape(tensor: Table) -> tuple[int | None, ...] | None:
    """The shape signature, which has -1 where a size is open; without one, the shape."""
    sizes = tensor.numbers(7) or tensor.numbers(0)
    if sizes is None:
        return () if tensor.number(8, 1) else None
    return tuple(size if size >= 0 else None for size in at_most(MAX_DEPTH, "sizes in a shape", sizes))


def _signature(way: Table, graphs: list[_Graph], ops: Counter[Op]) -> Signature:
    index = way.number(4, 4, signed=False)
    if index >= len(graphs):
        raise Damaged(f"graph {index} of {len(graphs)}")
    ends = []
    for field in (0, 1):
        pairs = [(each.text(0), each.number(1, 4)) for each in at_most(MAX_NAMES, "tensors", way.tables(field))]
        ends.append(tuple(_tensor(graphs[index], place, ops, key) for key, place in pairs))
    return Signature(name=way.text(2), inputs=ends[0], outputs=ends[1])


def _stored(model: Table, graphs: list[_Graph]) -> list[tuple[str, int, int]]:
    """Type, elements and bytes of each tensor that has its values in the file."""
    sizes = [each.length(0) or each.number(2, 8, signed=False) for each in model.tables(4)]
    found = []
    for graph in graphs:
        for tensor in graph.tensors:
            buffer = tensor.number(2, 4, signed=False)
            if 0 < buffer < len(sizes) and sizes[buffer] > 1:
                found.append((_type(tensor), elements(tensor.numbers(0) or ()), sizes[buffer]))
    return found


def _min_runtime(model: Table) -> str:
    """The oldest TensorFlow whose runtime has the operators, where the converter noted it."""
    for note in at_most(MAX_NAMES, "notes", model.tables(6)):
        if note.text(0) == MIN_RUNTIME:
            buffers = [
                each for each, _ in zip(model.tables(4), range(note.number(1, 4, signed=False) + 1), strict=False)
            ]
            return buffers[-1].bytes(0, 32).split(b"\0")[0].decode("ascii", errors="replace") if buffers else ""
    return ""
