"""TensorFlow's own formats, with any TensorFlow 2: SavedModel (pb, pbtxt), frozen GraphDef (pb, pbtxt), tflite."""

import json
import os
import shutil
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

IMAGE = tf.TensorSpec([None, 8, 8, 3], tf.float32, name="image")
SCALE = tf.TensorSpec([], tf.float32, name="scale")


class Net(tf.Module):
    """image [N,8,8,3] and scale [] -> conv, relu, mean, dense: probabilities [N,5] and logits [N,5]."""

    def __init__(self):
        super().__init__()
        generator = tf.random.Generator.from_seed(1)
        self.kernel = tf.Variable(generator.normal([3, 3, 3, 4]), name="kernel")
        self.dense = tf.Variable(generator.normal([4, 5]), name="dense")

    @tf.function(input_signature=[IMAGE, SCALE])
    def both(self, image, scale):
        hidden = tf.nn.relu(tf.nn.conv2d(image, self.kernel, 1, "SAME"))
        logits = tf.linalg.matmul(tf.reduce_mean(hidden, [1, 2]), self.dense) * scale
        return {"probabilities": tf.nn.softmax(logits), "logits": logits}

    @tf.function(input_signature=[IMAGE])
    def one(self, image):
        return {"probabilities": self.both(image, tf.constant(1.0))["probabilities"]}


def tensor(told):
    """A tensor as plain data: the shape with None where it is open, None where the rank is."""
    shape = None if told.shape.rank is None else told.shape.as_list()
    return {"name": told.name, "dtype": "str" if told.dtype == tf.string else told.dtype.name, "shape": shape}


def signature(function):
    """The inputs and outputs of a loaded signature by key, as TensorFlow restores them."""
    inputs = dict(function.structured_input_signature[1].items())
    return {
        "inputs": {key: tensor(spec)["shape"] for key, spec in inputs.items()},
        "outputs": {key: tensor(spec)["shape"] for key, spec in function.structured_outputs.items()},
    }


def saved_model(folder, net):
    """The directory, and its graph as text in another."""
    where = folder / "saved_model"
    shutil.rmtree(where, ignore_errors=True)
    tf.saved_model.save(net, str(where), signatures={"serving_default": net.both, "one": net.one})
    loaded = tf.saved_model.load(str(where))
    # what stands in the file, as `saved_model_cli show` reads it
    stored = saved_model_pb2.SavedModel()
    stored.ParseFromString((where / "saved_model.pb").read_bytes())
    meta = stored.meta_graphs[0]
    names = {
        key: {
            "inputs": {k: v.name for k, v in told.inputs.items()},
            "outputs": {k: v.name for k, v in told.outputs.items()},
        }
        for key, told in meta.signature_def.items()
    }
    text = folder / "saved_model_text"
    text.mkdir(exist_ok=True)
    for part in ("stripped_op_list", "stripped_default_attrs"):  # three quarters of the text, which nobody reads
        meta.meta_info_def.ClearField(part)
    meta.ClearField("object_graph_def")
    for function in meta.graph_def.library.function:
        for part in ("attr", "arg_attr", "resource_arg_unique_id", "control_ret", "ret"):
            function.ClearField(part)
        for part in ("input_arg", "output_arg", "control_output"):
            function.signature.ClearField(part)
        for node in function.node_def:
            for part in ("attr", "input", "experimental_debug_info"):
                node.ClearField(part)
    (text / "saved_model.pbtxt").write_text(text_format.MessageToString(stored))
    told = {
        "version": tf.__version__,
        "signatures": {key: signature(one) for key, one in loaded.signatures.items()},
        "names": names,
        "parameters": sum(int(tf.size(v)) for v in net.variables),
        "ops": sorted(
            {n.op for n in meta.graph_def.node} | {n.op for f in meta.graph_def.library.function for n in f.node_def}
        ),
    }
    return {"saved_model": told, "saved_model_text/saved_model.pbtxt": told}


def frozen(folder, net):
    """The graph with its variables as constants, binary and text; two outputs."""
    function = convert_variables_to_constants_v2(net.both.get_concrete_function())
    graph = function.graph.as_graph_def()
    tf.io.write_graph(graph, str(folder), "frozen.pb", as_text=False)
    (folder / "frozen.pbtxt").write_text(text_format.MessageToString(graph))
    told = {
        "inputs": [tensor(each) for each in function.inputs],
        "outputs": [tensor(each) for each in function.outputs],
        "ops": sorted({node.op for node in graph.node}),
        "nodes": sorted(node.name for node in graph.node),
    }
    return {"frozen.pb": told, "frozen.pbtxt": told}


def ambiguous(folder):
    """A TensorFlow 1 graph, with a head that training left behind, and a string input."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], name="x")
        keep = tf.compat.v1.placeholder_with_default(1.0, [], name="keep_prob")
        words = tf.compat.v1.placeholder(tf.string, None, name="words")
        hidden = tf.nn.relu(tf.linalg.matmul(x, tf.ones([4, 3])), name="hidden")
        tf.nn.softmax(hidden * keep, name="classes")
        tf.reduce_mean(hidden, name="loss")
        tf.strings.length(words, name="lengths")
    tf.io.write_graph(graph.as_graph_def(), str(folder), "ambiguous.pb", as_text=False)
    names = ("classes", "loss", "lengths")
    told = {
        "inputs": [tensor(graph.get_tensor_by_name(f"{name}:0")) for name in ("x", "keep_prob", "words")],
        "outputs": [tensor(graph.get_tensor_by_name(f"{name}:0")) for name in names],
        "ops": sorted({op.type for op in graph.get_operations()}),
    }
    return {"ambiguous.pb": told}


def tflite(folder):
    """The SavedModel as tflite, in float32 and with int8 weights, and what the interpreter says."""
    told = {}
    for name, optimise in (("net.tflite", []), ("dynamic.tflite", [tf.lite.Optimize.DEFAULT])):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model"), ["serving_default"])
        converter.optimizations = optimise
        (folder / name).write_bytes(converter.convert())
        model = tf.lite.Interpreter(str(folder / name))
        told[name] = {
            "inputs": [_lite(each) for each in model.get_input_details()],
            "outputs": [_lite(each) for each in model.get_output_details()],
            "signatures": model.get_signature_list(),
            "ops": sorted({op["op_name"] for op in model._get_ops_details()} - {"DELEGATE"}),
        }
    return told


def _lite(detail):
    import numpy as np

    shape = [None if size < 0 else int(size) for size in detail["shape_signature"]]
    return {"name": detail["name"], "dtype": np.dtype(detail["dtype"]).name, "shape": shape}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    net = Net()
    said = {**saved_model(folder, net), **frozen(folder, net), **ambiguous(folder), **tflite(folder)}
    shutil.rmtree(folder / "saved_model" / "assets", ignore_errors=True)
    (folder / "said.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


main(Path(sys.argv[1]))
