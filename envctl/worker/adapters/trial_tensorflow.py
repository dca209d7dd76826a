"""What a smoke run does with TensorFlow: y = x + c saved as a SavedModel, loaded and run; and the same function through
tf2onnx, answered by the evaluator that comes with the onnx package.

API: https://www.tensorflow.org/guide/saved_model, https://github.com/onnx/tensorflow-onnx#from_function,
https://onnx.ai/onnx/api/reference.html
"""

import os
import tempfile
from importlib.metadata import distributions

from failure import StepFailed

OPSET = 13


def open_engine():
    import tensorflow  # noqa: F401
    import tf2onnx  # noqa: F401


def versions():
    import tensorflow
    import tf2onnx

    return {"tensorflow": tensorflow.__version__, "tf2onnx": tf2onnx.__version__}


def convert(source, target, options):
    raise StepFailed("unsupported", "this module tries TensorFlow; it converts no models")


def load(source, options):
    import tensorflow

    signature = [tensorflow.TensorSpec(options["shape"], tensorflow.float32, name="x")]
    module = tensorflow.Module()
    module.c = tensorflow.Variable(tensorflow.reshape(tensorflow.constant(options["c"]), options["shape"]))
    module.add = tensorflow.function(lambda x: x + module.c, input_signature=signature)
    folder = tempfile.mkdtemp()
    tensorflow.saved_model.save(module, os.path.join(folder, "one"))
    return Session(tensorflow.saved_model.load(os.path.join(folder, "one")), through_onnx(module.add, signature))


def through_onnx(function, signature):
    """The function as tf2onnx writes it, ready to be asked."""
    import tf2onnx
    from onnx.reference import ReferenceEvaluator

    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    return ReferenceEvaluator(model)


class Session:
    """One input, and the answers of both ways."""

    def __init__(self, loaded, onnx):
        self.loaded, self.onnx = loaded, onnx
        self.inputs = ["x"]
        self.outputs = [("tensorflow", "float32"), ("tf2onnx", "float32")]

    def run(self, feed):
        (answer,) = self.onnx.run(None, {self.onnx.input_names[0]: feed["x"]})
        return [self.loaded.add(feed["x"]).numpy(), answer]

    def read_back(self):
        """Where it ran. An environment with CUDA's libraries is one for a GPU: without any, that is what it lacks."""
        import tensorflow

        gpus = tensorflow.config.list_physical_devices("GPU")
        lacks = "" if gpus or not with_cuda() else "TensorFlow sees no GPU here: it ran on the CPU, CUDA was not tried"
        return {"device": "GPU" if gpus else "CPU", "lacks": lacks}


def with_cuda():
    return any((each.metadata["Name"] or "").startswith("nvidia-cudnn") for each in distributions())
