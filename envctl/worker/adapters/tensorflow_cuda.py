"""TensorFlow on a GPU through CUDA: the same models as on the CPU, and nothing that computes may stay behind there.

TensorFlow goes on without a GPU where a library is missing, and puts nodes without a kernel for it on the CPU, both in
silence. So the devices are asked for first, and after the first run the executed graphs, which TensorFlow cuts by
device. API: https://www.tensorflow.org/api_docs/python/tf/config/list_physical_devices, RunMetadata's partition_graphs:
https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/core/protobuf/config.proto
"""

import os
import re

import placement
from adapters import tensorflow as plain
from adapters.tensorflow import versions  # noqa: F401
from failure import StepFailed

OVERRIDE = "NVIDIA_TF32_OVERRIDE"
GPU = "GPU"
LACKING = re.compile(r"Could not load dynamic library '([^']+)'")
# what hands tensors on and computes nothing
MOVES = ("_Arg", "_Retval", "_Send", "_Recv", "_HostSend", "_HostRecv", "NoOp", "Const", "_EagerConst", "Identity")
READS = ("ReadVariableOp",)


def open_engine():
    """Import TensorFlow; raises where it sees no GPU."""
    # the loader names what it cannot open at this level only
    os.environ.update({"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "dso_loader=1"})
    os.environ[OVERRIDE] = "0"  # read by cuBLAS and cuDNN when they start
    plain.choose_keras()
    import tensorflow as tf

    found = tf.config.list_physical_devices(GPU)
    if not found:
        raise StepFailed("no-device", "TensorFlow sees no GPU: " + why_none())
    for each in found:  # as much of its memory as the model needs, not all there is
        tf.config.experimental.set_memory_growth(each, True)
    tf.config.experimental.enable_tensor_float_32_execution(False)


def why_none():
    """The libraries that TensorFlow's loader could not open, from the log that this process writes."""
    with open("/proc/self/fd/2", encoding="utf-8", errors="replace") as stream:
        names = sorted(set(LACKING.findall(stream.read())))
    return "it could not open " + ", ".join(names) if names else "its libraries are there, CUDA lists none"


def convert(source, target, options):
    raise StepFailed("unsupported", "TensorFlow runs its models as they are")


def load(source, options):
    import tensorflow as tf

    if options.get("threads"):
        tf.config.threading.set_intra_op_parallelism_threads(options["threads"])
    return Session(plain.read(source, options), options)


class Session(plain.Session):
    """The same function; TensorFlow puts its nodes on the GPU by itself."""

    def __init__(self, source, options):
        super().__init__(source)
        self.options, self.placed = options, None

    def run(self, feed):
        if self.placed is not None:
            return super().run(feed)
        with Watched() as watched:
            answers = super().run(feed)
        self.placed = watched.nodes
        placement.check(self.placed, GPU, self.options.get("allow_fallback"))
        return answers

    def prepared(self, feed):
        """One inference to its end: on a GPU a call returns before it is done."""
        import tensorflow as tf

        call, wait = super().prepared(feed), tf.test.experimental.sync_devices

        def one():
            call()
            wait()

        return one

    def read_back(self):
        import tensorflow as tf

        said = dict(super().read_back(), device="CUDA")
        said["gpu"] = tf.config.experimental.get_device_details(tf.config.list_physical_devices(GPU)[0])["device_name"]
        on = tf.config.experimental.tensor_float_32_execution_enabled() or os.environ.get(OVERRIDE) != "0"
        said["tf32"] = "on" if on else "off"
        if self.placed is not None:
            said["nodes"] = placement.told(self.placed)
            said["libraries"] = placement.libraries()
        return said


class Watched:
    """While this is open TensorFlow keeps the graphs that it executes; `nodes` are theirs afterwards."""

    def __enter__(self):
        from tensorflow.python.eager import context

        self.context, self.nodes = context.context(), None
        self.context.enable_graph_collection()
        return self

    def __exit__(self, *error):
        told = self.context.export_run_metadata()
        self.context.disable_graph_collection()
        self.nodes = nodes(told)


def nodes(told):
    """(provider, operator, node, float types) of the nodes that compute, as `placement` counts them."""
    parts = [part for graph in told.function_graphs for part in graph.partition_graphs]
    return [
        (placement.CPU if "device:CPU" in node.device else GPU, node.op, node.name, floats(node))
        for part in parts
        for node in part.node
        if node.op not in MOVES + READS
    ]


def floats(node):
    """The names of the floating-point types that a node is for."""
    import tensorflow as tf

    kinds = {tf.as_dtype(value.type) for value in node.attr.values() if value.WhichOneof("value") == "type"}
    return {"float" if kind == tf.float32 else kind.name for kind in kinds if kind.is_floating}
