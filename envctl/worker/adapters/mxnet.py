"""Apache MXNet on the CPU, from ONNX through its own importer.

API: https://mxnet.apache.org/versions/1.9.1/api/python/docs/api/contrib/onnx/index.html . The importer is of the time
of opset 12: stored tensors must stand among the graph's inputs, and a convolution must name its kernel's shape.
"""

import json
import os
import tempfile

from failure import StepFailed

CONVOLUTIONS = ("Conv", "ConvTranspose")


def open_engine():
    import mxnet  # noqa: F401


def versions():
    import mxnet
    import numpy

    return {"mxnet": mxnet.__version__, "numpy": numpy.__version__}


def convert(source, target, options):
    """Write the symbol (model.json), its parameters, and the ONNX names of inputs and outputs (model.ends)."""
    import mxnet
    from mxnet.contrib import onnx as importer

    model, ends = prepared(source)
    refuse_unknown(model)
    path = os.path.join(tempfile.mkdtemp(), "prepared.onnx")
    save(model, path)
    try:
        symbol, arguments, states = importer.import_model(path)
    except Exception as error:
        raise translated(error) from error
    symbol.save(os.path.join(target, "model.json"))
    parameters = {"arg:" + name: value for name, value in arguments.items()}
    parameters.update({"aux:" + name: value for name, value in states.items()})
    mxnet.nd.save(os.path.join(target, "model.params"), parameters)
    with open(os.path.join(target, "model.ends"), "w", encoding="utf-8") as stream:
        json.dump(ends, stream)
    return {"artifacts": ["model.json", "model.params", "model.ends"], "read_back": {"operators": operators(symbol)}}


def save(model, path):
    import onnx

    onnx.save(model, path)


def prepared(source):
    """The model as the importer wants it, and the names of its inputs and outputs."""
    import onnx

    try:
        model = onnx.load(source)
    except Exception as error:
        raise StepFailed("invalid-model", "onnx cannot read it: %s" % error) from error
    graph = model.graph
    stored = {each.name: each for each in graph.initializer}
    ends = {
        "inputs": [each.name for each in graph.input if each.name not in stored],
        "outputs": [each.name for each in graph.output],
    }
    among = {each.name for each in graph.input}
    for name, each in stored.items():
        if name not in among:
            graph.input.append(onnx.helper.make_tensor_value_info(name, each.data_type, list(each.dims)))
    for node in graph.node:
        weight = stored.get(node.input[1]) if node.op_type in CONVOLUTIONS and len(node.input) > 1 else None
        if weight is not None and "kernel_shape" not in {each.name for each in node.attribute}:
            node.attribute.append(onnx.helper.make_attribute("kernel_shape", list(weight.dims)[2:]))
    return model, ends


def refuse_unknown(model):
    """Raise for all operators at once that the importer has no translation for; it would stop at the first."""
    from mxnet.contrib.onnx.onnx2mx import _import_helper

    known = getattr(_import_helper, "_convert_map", None)
    lacking = sorted({node.op_type for node in model.graph.node} - set(known)) if known else []
    if lacking:
        raise StepFailed("unsupported", "MXNet's importer has no operator %s" % ", ".join(lacking))


def translated(error):
    text = "%s: %s" % (type(error).__name__, error)
    if isinstance(error, (NotImplementedError, KeyError, IndexError, AttributeError, TypeError, ValueError)):
        return StepFailed("unsupported", "MXNet's importer, which is of the time of opset 12: " + text)
    return error


def operators(symbol):
    nodes = json.loads(symbol.tojson())["nodes"]
    return " ".join(sorted({node["op"] for node in nodes} - {"null"}))


def load(source, options):
    import mxnet

    stem = os.path.splitext(source)[0]
    with open(stem + ".ends", encoding="utf-8") as stream:
        ends = json.load(stream)
    stored = {"arg": {}, "aux": {}}
    for name, value in mxnet.nd.load(stem + ".params").items():
        kind, _, plain = name.partition(":")
        stored[kind][plain] = value
    return Session(mxnet.sym.load(source), stored, ends)


class Session:
    """Inputs by name, outputs in the order of the ONNX graph; bound anew when a size changes."""

    def __init__(self, symbol, stored, ends):
        self.symbol, self.stored = symbol, stored
        self.inputs = ends["inputs"]
        self.names = ends["outputs"]
        self.types = ["float32"] * len(self.names)
        self.bound = self.sizes = None

    @property
    def outputs(self):
        return list(zip(self.names, self.types))

    def run(self, feed):
        import mxnet

        arrays = {name: mxnet.nd.array(feed[name], dtype=feed[name].dtype) for name in self.inputs}
        sizes = {name: array.shape for name, array in arrays.items()}
        used = set(self.symbol.list_arguments())
        if sizes != self.sizes:
            arguments = {name: value for name, value in {**self.stored["arg"], **arrays}.items() if name in used}
            self.bound = self.symbol.bind(mxnet.cpu(), arguments, aux_states=self.stored["aux"], grad_req="null")
            self.sizes = sizes
        given = {name: array for name, array in arrays.items() if name in used}
        answers = [answer.asnumpy() for answer in self.bound.forward(is_train=False, **given)]
        self.types = [str(answer.dtype) for answer in answers]
        return answers

    def prepared(self, feed):
        """One inference on the arrays that are bound; MXNet works behind the caller's back until one waits for it."""
        self.run(feed)
        bound = self.bound

        def call():
            for answer in bound.forward(is_train=False):
                answer.wait_to_read()

        return call

    def read_back(self):
        """The types that went through the bound network: MXNet computes in those of its arguments."""
        kinds = {str(value.dtype.__name__) for value in self.bound.arg_dict.values()} | set(self.types)
        return {
            "precision": "fp16" if "float16" in kinds else "fp32",
            "types": " ".join(sorted(kinds)),
            "device": "CPU",
        }
