"""Models for LiteRT in each of its precisions: PYTHON tests/models/tflite.py FOLDER, with LiteRT's Python.

LiteRT's own wheel brings the schema of its files; a converter (TensorFlow) is not needed. Each is one fully connected
layer from "x" [1,8] (the first size left open) to "y" [1,4], the same numbers in other types.
"""

import sys
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as s

X, W, B, Y = range(4)
SCALE = {X: 0.05, W: 0.02, B: 0.001, Y: 0.1}
RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.uniform(-2, 2, (4, 8)).astype(np.float32)
BIAS = RANDOM.uniform(-1, 1, 4).astype(np.float32)
T = s.TensorType
FULL = {X: T.INT8, W: T.INT8, B: T.INT32, Y: T.INT8}


def tensor(name, shape, kind, buffer, scale=None):
    """A tensor; one with a scale is quantised around zero."""
    made = s.TensorT()
    made.name, made.shape, made.type, made.buffer = name, shape, kind, buffer
    made.shapeSignature = [-1, *shape[1:]] if buffer == 0 else None
    if scale:
        made.quantization = s.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [scale], [0]
    return made


def operator(code, inputs, outputs, options=None, kind=0):
    made = s.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, outputs
    made.builtinOptions, made.builtinOptionsType = options, kind
    return made


def dense(inputs):
    options = s.FullyConnectedOptionsT()
    return operator(0, inputs, [Y], options, s.BuiltinOptions.FullyConnectedOptions)


def packed(values, scale, kind):
    low = np.iinfo(kind)
    return np.clip(np.round(values / scale), low.min, low.max).astype(kind)


def model(tensors, operators, arrays, custom=""):
    """The bytes of a model; buffer 0 is the empty one."""
    graph = s.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs, graph.name = tensors, operators, [X], [Y], "main"
    made = s.ModelT()
    made.version, made.subgraphs, made.description, made.buffers = 3, [graph], "envctl-tests", [s.BufferT()]
    for array in arrays:
        buffer = s.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        made.buffers.append(buffer)
    made.operatorCodes = [code(s.BuiltinOperator.FULLY_CONNECTED), code(s.BuiltinOperator.DEQUANTIZE, 2)]
    if custom:
        made.operatorCodes[0] = code(s.BuiltinOperator.CUSTOM)
        made.operatorCodes[0].customCode = custom
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def code(builtin, version=1):
    made = s.OperatorCodeT()
    made.builtinCode, made.deprecatedBuiltinCode, made.version = builtin, min(builtin, 127), version
    return made


def ends(kinds, weights, bias):
    quantised = kinds[X] == T.INT8
    scales = {index: SCALE[index] for index in kinds if quantised or (index == W and kinds[W] == T.INT8)}
    return [
        tensor("x", [1, 8], kinds[X], 0, scales.get(X)),
        tensor("w", [4, 8], kinds[W], 1, scales.get(W)),
        tensor("b", [4], kinds[B], 2, scales.get(B)),
        tensor("y", [1, 4], kinds[Y], 0, scales.get(Y)),
    ], [weights, bias]


def float_model(kind, weights, custom=""):
    kinds = {X: T.FLOAT32, W: kind, B: T.FLOAT32, Y: T.FLOAT32}
    tensors, arrays = ends(kinds, weights, BIAS)
    return model(tensors, [dense([X, W, B])], arrays, custom)


def halved():
    """float16 weights, made float32 by an operator: what "float16" means to TensorFlow's converter."""
    tensors, arrays = ends({X: 0, W: T.FLOAT16, B: 0, Y: 0}, WEIGHTS.astype(np.float16), BIAS)
    tensors.append(tensor("w32", [4, 8], T.FLOAT32, 0))
    tensors[-1].shapeSignature = None
    return model(tensors, [operator(1, [W], [4]), dense([X, 4, B])], arrays)


def full():
    SCALE[B] = SCALE[X] * SCALE[W]
    tensors, arrays = ends(FULL, packed(WEIGHTS, SCALE[W], np.int8), packed(BIAS, SCALE[B], np.int32))
    return model(tensors, [dense([X, W, B])], arrays)


MODELS = {
    "fp32": lambda: float_model(T.FLOAT32, WEIGHTS),
    "fp16": halved,
    "dynamic": lambda: float_model(T.INT8, packed(WEIGHTS, SCALE[W], np.int8)),
    "int8": full,
    "custom": lambda: float_model(T.FLOAT32, WEIGHTS, "NobodyHasThis"),
}

if __name__ == "__main__":
    for name, make in MODELS.items():
        Path(sys.argv[1], name + ".tflite").write_bytes(make())
    np.savez(Path(sys.argv[1], "weights.npz"), w=WEIGHTS, b=BIAS)
