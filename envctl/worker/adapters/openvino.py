"""OpenVINO on the CPU. API: https://docs.openvino.ai/2024/api/ie_python_api/api.html"""

import functools
import inspect
import os
import sys

from adapters import openvino_lacking
from failure import StepFailed

HINTS = {"fp32": "f32", "fp16": "f32", "bf16": "bf16", "int8": "f32"}  # of what is not quantised
NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
LOWEST_FIRST = ["int8", "bf16", "fp16", "fp32"]
# of the runtime model: what stores and moves numbers without computing any; how many there are is the CPU's affair
MOVES = ("Const", "Input", "Output", "Reorder", "Reshape", "Transpose", "Concatenation", "Split")
LAYERS_BY = "OpenVINO's runtime model, what only moves numbers left out"


def open_engine():
    # The converter's front end is optional to the library, unused here, and brings telemetry and 0.15 s of imports.
    sys.modules["openvino.tools.ovc"] = None
    import openvino  # noqa: F401


def versions():
    import numpy
    import openvino

    return {"openvino": openvino.get_version(), "numpy": numpy.__version__}


def read(source):
    """The model as OpenVINO reads it; `read_model` and not `convert_model`, which starts telemetry."""
    import openvino

    try:
        model = openvino.Core().read_model(source)
    except Exception as error:
        raise openvino_lacking.refusal(source, str(error)) or translated(error) from error
    openvino_lacking.refuse_left_over(model)
    return model


def ask(source, options):
    """Raise what the front end lacks for the model; nothing is written."""
    read(source)


def translated(error):
    text = str(error)
    if "not supported" in text.lower():
        return StepFailed("unsupported", text)
    if "can't be parsed" in text or "Unable to read the model" in text:
        return StepFailed("invalid-model", text)
    return error


def convert(source, target, options):
    """Write OpenVINO IR. The weights stay float32 unless fp16 is asked for: the library's own default is fp16."""
    import openvino

    model = bounded(read(source), options.get("ranges") or {})
    path = os.path.join(target, "model.xml")
    try:
        openvino.save_model(model, path, compress_to_fp16=options.get("precision") == "fp16")
    except RuntimeError as error:
        if "iostream error" in str(error):  # it tidies up before it says so: the disk may have room again
            raise StepFailed("disk-full", "%s could not be written: %s" % (path, error)) from error
        raise
    return {"artifacts": ["model.xml", "model.bin"], "read_back": {"weights": weights(read(path))}}


def bounded(model, ranges):
    """The model with the open sizes of its inputs held between the least and the largest that were asked for."""
    import openvino

    if ranges:
        spans = {name: zip(three[0], three[2]) for name, three in ranges.items()}
        model.reshape(
            {name: openvino.PartialShape([openvino.Dimension(*it) for it in span]) for name, span in spans.items()}
        )
    return model


def weights(model):
    """The lowest element type among the constants of float type."""
    types = {op.get_element_type().get_type_name() for op in model.get_ops() if op.get_type_name() == "Constant"}
    return next((name for name in ("bf16", "f16") if name in types), "f32")


def load(source, options):
    import openvino

    model = read(source)
    properties = {"INFERENCE_PRECISION_HINT": HINTS[options.get("precision") or "fp32"], "NUM_STREAMS": "1"}
    if options.get("threads"):
        properties["INFERENCE_NUM_THREADS"] = str(options["threads"])
    try:
        compiled = openvino.Core().compile_model(model, "CPU", properties)
        return Session(model, compiled, options, properties)
    except Exception as error:
        raise translated(error) from error


class Session:
    """Inputs and outputs by name and index: the names of a frozen graph change between versions."""

    def __init__(self, model, compiled, options, properties):
        self.model, self.compiled, self.properties = model, compiled, properties
        self.wanted, aliases = options.get("precision"), options.get("aliases") or {}
        self.request = compiled.create_infer_request()
        self.inputs = input_names(compiled, aliases, options.get("inputs"))
        names = names_of(compiled.outputs, aliases, options.get("outputs"), name_of)
        types = [port.get_element_type().get_type_name() for port in compiled.outputs]
        self.outputs = list(zip(names, types))

    def run(self, feed):
        self.request.infer({index: feed[name] for index, name in enumerate(self.inputs)})
        return [self.request.get_output_tensor(index).data for index, _ in enumerate(self.outputs)]

    def prepared(self, feed):
        """One inference on tensors that are set already; the results stay in the request."""
        return call_of(self.request, [feed[name] for name in self.inputs])

    def lanes(self, feed, count):
        """A stream for each: one stream would do them one after the other. The threads are divided among them."""
        import openvino

        compiled = openvino.Core().compile_model(self.model, "CPU", dict(self.properties, NUM_STREAMS=str(count)))
        arrays = [feed[name] for name in self.inputs]
        return [call_of(compiled.create_infer_request(), arrays) for _ in range(count)]

    def read_back(self):
        """What was executed: the precision property of the compiled model, the type its weights are kept in, and of a
        quantised model how many layers of the runtime model compute in int8; where none does, it is not int8."""
        execution = self.compiled.get_property("INFERENCE_PRECISION_HINT")
        execution = execution if isinstance(execution, str) else execution.get_type_name()
        kept = weights(self.model)
        ran = {NAMES.get(execution, execution), NAMES[kept]}
        layers, said = executed(self.compiled), {}
        if any(op.get_type_name() == "FakeQuantize" for op in self.model.get_ops()):
            low = [kind for kind, types in layers if types in ("i8", "u8")]
            # values are rounded either way: the row is int8's, unless int8 itself was asked for
            ran |= {"int8"} if low or self.wanted != "int8" else set()
            said = {"int8_layers": str(len(low))}
        devices = self.compiled.get_property("EXECUTION_DEVICES")
        precision = next((name for name in LOWEST_FIRST if name in ran), execution)
        told = {"precision": precision, "execution": execution, "weights": kept, "device": " ".join(devices)}
        return dict(told, layers=str(len(layers)), layers_by=LAYERS_BY, **said)


def executed(compiled):
    """(kind, type it computes in) of every layer that computes, as the runtime model tells after fusion.
    https://docs.openvino.ai/2024/openvino-workflow/running-inference/integrate-openvino-with-your-application/model-representation.html
    """
    told = [op.get_rt_info() for op in compiled.get_runtime_model().get_ordered_ops()]
    pairs = [(text(info, "layerType"), text(info, "runtimePrecision")) for info in told]
    return [(kind, types) for kind, types in pairs if kind not in MOVES]


def text(info, name):
    """An entry of a node's information, which some releases wrap."""
    try:
        value = info[name]
    except (KeyError, RuntimeError):
        return ""
    return str(getattr(value, "value", value))


def call_of(request, arrays):
    """A call that runs the request once; the results stay in its tensors, where the release can leave them there."""
    import numpy
    import openvino

    tensors = [openvino.Tensor(numpy.asarray(array, order="C"), shared_memory=True) for array in arrays]
    for index, tensor in enumerate(tensors):
        request.set_input_tensor(index, tensor)
    shares = "share_outputs" in inspect.signature(request.infer).parameters
    call = functools.partial(request.infer, share_outputs=True) if shares else functools.partial(request.infer)
    call.kept = tensors  # the request has their memory, not them
    return call


def input_names(model, aliases, known=None):
    """The inputs of a model, compiled or not, in their order, as people call them. Where an operator between an input
    and an output is removed, the tensor has the output's name alone: it is the one input that is left."""
    found = names_of(model.inputs, aliases, known, lambda port, _: input_name(port))
    left = [name for name in known or () if name not in found]
    odd = [index for index, name in enumerate(found) if name not in (known or found)]
    if len(left) == len(odd) == 1:
        found[odd[0]] = left[0]
    return found


def names_of(ports, aliases, known, otherwise):
    """A name for each tensor, of the several that it may have: the key of a signature, else what the source calls it
    (`known`; releases differ in which of `image` and `image:0` they show first), else `otherwise`."""
    found = []
    for index, port in enumerate(ports):
        own = [name for name in sorted(port.get_names()) if name in (known or ()) and name not in found]
        found.append(called(port, aliases) or (own[0] if own else otherwise(port, index)))
    return found


def called(port, aliases):
    """What people call a tensor that has another name in the file: the key of a signature."""
    return next((aliases[name] for name in sorted(port.get_names()) if name in aliases), None)


def input_name(port):
    """The name the source gave it, which the node bears: a folded Reshape adds its own to the port's set of names."""
    own = port.get_node().get_friendly_name()
    return own if own in port.get_names() else port.get_any_name()


def name_of(port, index):
    """The first of an output's names in the alphabet (they are a set), or its index when it has none."""
    names = sorted(port.get_names())
    return names[0] if names else "output %d" % index
