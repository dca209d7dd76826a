"""TensorFlow on the CPU: reads and runs SavedModels, frozen graphs and Keras files; tensorflow_to_… convert them.

Whatever the source is, it becomes one function of named tensors: what is converted and what the reference runs.
API: https://www.tensorflow.org/api_docs/python/tf/saved_model/load
"""

import functools
import importlib.util
import os

from failure import StepFailed

HALF = {"float16": "fp16", "bfloat16": "bf16"}


def open_engine():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its banner about oneDNN is at 1
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # this recipe is for the CPU; no GPU takes part in silence
    choose_keras()
    import tensorflow  # noqa: F401


def choose_keras():
    """Before tensorflow is imported."""
    if importlib.util.find_spec("tf_keras"):
        os.environ["TF_USE_LEGACY_KERAS"] = "1"  # read when tensorflow is imported: Keras 2 is what it is here for


def versions():
    import numpy
    import tensorflow

    return {"tensorflow": tensorflow.__version__, "numpy": numpy.__version__}


class Source:
    """The model as a function: `inputs` are TensorSpecs by public name, `call` takes and gives tensors by name."""

    def __init__(self, inputs, outputs, call, keep):
        self.inputs, self.outputs, self.call, self.keep = inputs, outputs, call, keep


def read(source, options):
    readers = {"saved-model": saved_model, "graph-def": frozen_graph, "keras": keras_file, "keras-h5": keras_file}
    try:
        return readers[options["format"]](source, options)
    except StepFailed:
        raise
    except Exception as error:
        raise translated(error) from error


def translated(error):
    """The same failure with its kind."""
    text = str(error)
    if "Lambda" in text and "unsafe" in text:
        return StepFailed("unsupported", "the file holds code (a Lambda layer), which is not run: " + text[:300])
    known = ("Could not deserialize", "Error when deserializing", "expected 1 variables", "File format not supported")
    if any(each in text for each in known):
        return StepFailed("invalid-model", text[:600])
    return error


def saved_model(source, options):
    import tensorflow as tf

    loaded = tf.saved_model.load(source)
    function = loaded.signatures[options.get("signature") or "serving_default"]
    specs = function.structured_input_signature[1]
    outputs = sorted(function.structured_outputs)
    return Source(specs, outputs, lambda feed: function(**feed), loaded)


def frozen_graph(source, options):
    """Of a frozen graph the names are given: tensors such as `image:0`."""
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()
    with open(source, "rb") as stream:
        graph.ParseFromString(stream.read())
    names, outputs = options["inputs"], options["outputs"]
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    tensor = whole.graph.as_graph_element
    function = whole.prune([tensor(name) for name in names], [tensor(name) for name in outputs])
    specs = {name: tf.TensorSpec(tensor(name).shape, tensor(name).dtype) for name in names}

    def call(feed):
        return dict(zip(outputs, function(*[feed[name] for name in names])))

    return Source(specs, outputs, call, function)


def keras_file(source, options):
    """A .keras or .h5 file; code in it (a Lambda layer) is not run, where this Keras can refuse it."""
    import tensorflow as tf

    model = keras_of(options).models.load_model(named(source, options["format"]), compile=False)
    names = [tensor.name for tensor in model.inputs]
    specs = {name: tf.TensorSpec(tensor.shape, tensor.dtype) for name, tensor in zip(names, model.inputs)}
    outputs = list(getattr(model, "output_names", None) or ["output_%d" % i for i, _ in enumerate(model.outputs)])

    def call(feed):
        tensors = [feed[name] for name in names]
        return dict(zip(outputs, tf.nest.flatten(model(tensors[0] if len(tensors) == 1 else tensors, training=False))))

    return Source(specs, outputs, call, model)


def named(source, form):
    """The file under a name that Keras takes for what it is: it goes by the name, and users' names are anything."""
    link = os.path.join(os.environ["TMPDIR"], "model.h5" if form == "keras-h5" else "model.keras")
    if not os.path.exists(link):
        os.symlink(source, link)
    return link


def keras_of(options):
    """The Keras that reads the file: files of Keras 2 are read in TensorFlow 2.16 and later by the package tf_keras."""
    import keras
    import tensorflow as tf

    if not str(options.get("keras", "")).startswith("2.") or keras.__version__.startswith("2."):
        return tf.keras
    try:
        import tf_keras
    except ImportError:
        what = "a file of Keras 2, and this environment has Keras %s without tf_keras" % keras.__version__
        raise StepFailed("engine-missing", what) from None
    return tf_keras


def named_function(source, public=False):
    """A tf.function of positional tensors in0, in1 … that gives {out0: …}, or of those names that people use."""
    import tensorflow as tf

    names = list(source.inputs)
    takes = names if public else ["in%d" % i for i in range(len(names))]
    gives = source.outputs if public else ["out%d" % i for i in range(len(source.outputs))]
    specs = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in zip(takes, source.inputs.values())]

    def call(*tensors):
        answers = source.call(dict(zip(names, tensors)))
        return {given: tf.identity(answers[name]) for given, name in zip(gives, source.outputs)}

    return tf.function(call, input_signature=specs), specs


def load(source, options):
    import tensorflow as tf

    if options.get("threads"):
        tf.config.threading.set_intra_op_parallelism_threads(options["threads"])
    return Session(read(source, options))


class Session:
    """Runs the function as TensorFlow does, variables and all; inputs by public name."""

    def __init__(self, source):
        self.source = source
        self.function, _ = named_function(source)
        self.graph = self.function.get_concrete_function()
        self.inputs = list(source.inputs)
        tensors = self.graph.structured_outputs
        self.outputs = [(name, tensors["out%d" % i].dtype.name) for i, name in enumerate(source.outputs)]

    def run(self, feed):
        import tensorflow as tf

        answers = self.function(*[tf.constant(feed[name]) for name in self.inputs])
        return [answers["out%d" % i].numpy() for i in range(len(self.outputs))]

    def prepared(self, feed):
        """One inference on tensors that are TensorFlow's already; on the CPU a call returns when it is done."""
        import tensorflow as tf

        return functools.partial(self.function, *[tf.constant(feed[name]) for name in self.inputs])

    def lanes(self, feed, count):
        """A function takes several callers: TensorFlow's threads are shared."""
        return [self.prepared(feed) for _ in range(count)]

    def read_back(self):
        """TensorFlow computes in the types of the graph: the lowest of them is the precision."""
        kinds = {
            HALF.get(tensor.dtype.name, "fp32") for op in self.graph.graph.get_operations() for tensor in op.outputs
        }
        return {"precision": next((p for p in ("bf16", "fp16") if p in kinds), "fp32"), "device": "CPU"}
