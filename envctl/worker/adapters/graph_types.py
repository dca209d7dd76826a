"""An ONNX model in another precision: the types are written into the graph itself, for engines that go by those.

float16 through onnxconverter-common (https://github.com/microsoft/onnxconverter-common/blob/master/onnxconverter_common/float16.py),
bfloat16 by the same way and then rounded from the original float32, int8 through ONNX Runtime's quantiser as QDQ: for
TensorRT symmetric and with the bias left in float32, for others as ONNX Runtime does it by itself, which it can fuse
with what follows (docs/evidence.md#onnxruntime-int8). Inputs and outputs keep their types.
"""

import os

from failure import StepFailed

MADE, DATA = "typed.onnx", "typed.onnx.data"
TWO_GIB = 2 << 30
SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}


def open_engine():
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        what = "this environment has not the packages that write types into a graph (%s)" % error
        raise StepFailed("engine-missing", what + "; a lock made without --precision has none") from error


def versions():
    import sys

    import numpy
    import onnx

    found = {"onnx": onnx.__version__, "numpy": numpy.__version__}
    for module, name in (("onnxruntime", "onnxruntime"), ("onnxconverter_common", "onnxconverter-common")):
        if module in sys.modules:
            found[name] = sys.modules[module].__version__
    return found


def convert(source, target, options):
    import onnx

    path, precision = os.path.join(target, MADE), options["precision"]
    if precision == "int8":
        told = quantise(source, path, target, options)
    else:
        model = named(onnx.load(source))
        made = {"fp16": halved, "bf16": brained}[precision](
            model, options.get("keep_float32") or [], options.get("keep_nodes") or []
        )
        save(made, path)
        told = {}
    onnx.checker.check_model(path)
    artifacts = [name for name in (MADE, DATA) if os.path.exists(os.path.join(target, name))]
    return {
        "artifacts": artifacts,
        "read_back": dict(told, nodes=str(len(onnx.load(path, load_external_data=False).graph.node))),
    }


def save(model, path):
    """Write a model, its weights apart where protobuf could not hold them."""
    import onnx

    apart = model.ByteSize() >= TWO_GIB
    onnx.save(model, path, save_as_external_data=apart, location=DATA if apart else None)


def named(model):
    """The model with a name for every node: those that have none are called after what they make."""
    for node in model.graph.node:
        if not node.name and node.output:
            node.name = "makes " + next(name for name in node.output if name)
    return model


def halved(model, keep, nodes=(), **limits):
    """The model in float16 but for inputs, outputs, the operators of `keep` and `nodes`, which stay in float32."""
    from onnxconverter_common import float16

    blocked = list(float16.DEFAULT_OP_BLOCK_LIST) + list(keep)
    limits["node_block_list"] = list(nodes) or None
    try:
        made = float16.convert_float_to_float16(model, keep_io_types=True, op_block_list=blocked, **limits)
    except ValueError as error:  # it is in float16 already
        raise StepFailed("unsupported", "onnxconverter-common: %s" % error) from error
    cast_as_declared(made.graph)
    return made


def cast_as_declared(graph):
    """Have the model's own Casts make what the converter declares that they make: it leaves them at float32, and the
    graph is none that an engine takes (seen in a MiniLM, whose mask comes as integers)."""
    from onnx import TensorProto

    half = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == attribute.GRAPH:
                cast_as_declared(attribute.g)
            elif node.op_type == "Cast" and attribute.i == TensorProto.FLOAT and node.output[0] in half:
                attribute.i = TensorProto.FLOAT16


def brained(model, keep, nodes=()):
    """The model in bfloat16: float16's graph with each type exchanged, and the weights rounded from the originals."""
    import copy

    from onnx import TensorProto

    originals = {tensor.name: tensor for tensor in model.graph.initializer}
    # float16's limits must not touch what bfloat16 can hold
    made = halved(copy.deepcopy(model), keep, nodes, min_positive_val=0.0, max_finite_val=65504.0)
    for tensor in made.graph.initializer:
        rounded(tensor, originals.get(tensor.name))
    for node in made.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.BFLOAT16
            if attribute.type == attribute.TENSOR:
                rounded(attribute.t, None)
    for value in list(made.graph.value_info) + list(made.graph.input) + list(made.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.BFLOAT16
    return made


def rounded(tensor, original):
    """Make a float16 tensor bfloat16, from the original's float32 values: to nearest, ties to even."""
    import numpy
    from onnx import TensorProto, numpy_helper

    if tensor.data_type != TensorProto.FLOAT16:
        return
    values = numpy_helper.to_array(tensor if original is None else original).astype("<f4")
    bits = numpy.ascontiguousarray(values).view("<u4")
    nearest = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    name, sizes = tensor.name, list(tensor.dims)
    tensor.Clear()
    tensor.name, tensor.data_type, tensor.raw_data = name, TensorProto.BFLOAT16, nearest.tobytes()
    tensor.dims.extend(sizes)


def quantise(source, path, target, options):
    """Write the model in QDQ int8, calibrated on the arrays that the job brought."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    samples = calibration(os.path.dirname(target), options["calibration"])
    tidy = os.path.join(os.environ.get("TMPDIR", target), "tidy.onnx")
    quant_pre_process(source, tidy, skip_symbolic_shape=True)
    excluded = options.get("keep_nodes") or []
    if excluded:
        onnx.save(named(onnx.load(tidy)), tidy)
    quantize_static(
        tidy,
        path,
        Samples(samples),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=excluded,
        per_channel=bool(options.get("per_channel", True)),
        extra_options=SYMMETRIC if options.get("symmetric") else {},
    )
    kind = "symmetric int8, per channel, bias in float32" if options.get("symmetric") else "int8, per channel"
    return {"calibration_samples": str(len(samples)), "quantisation": "QDQ, " + kind}


def calibration(folder, names):
    """One feed a sample, from inputs/N.npy in the job's folder."""
    import numpy

    arrays = [numpy.load(os.path.join(folder, "inputs", "%d.npy" % index)) for index in range(len(names))]
    return [dict(zip(names, sample)) for sample in zip(*arrays)]


class Samples:
    """A calibration data reader, as ONNX Runtime's quantiser wants it."""

    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)
