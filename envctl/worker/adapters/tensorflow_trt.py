"""TF-TRT, TensorFlow's own way to TensorRT: asked whether this build has it, by constructing the converter.

The class is there in every build, `hasattr` proves nothing (docs/evidence.md#tf-trt); those with TensorRT make one.
API: https://www.tensorflow.org/api_docs/python/tf/experimental/tensorrt/Converter
"""

import os

from adapters.tensorflow import versions  # noqa: F401
from failure import StepFailed


def open_engine():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow  # noqa: F401


def convert(source, target, options):
    """Construct the converter. What would come after it has never been run, and is not done."""
    import tensorflow as tf

    if options["format"] != "saved-model":
        raise StepFailed("unsupported", "TF-TRT converts SavedModels; this is %s" % options["format"])
    try:
        tf.experimental.tensorrt.Converter(input_saved_model_dir=source)
    except (RuntimeError, ImportError, AttributeError) as error:
        raise StepFailed("engine-missing", "%s: %s" % (type(error).__name__, error)) from error
    raise StepFailed("unsupported", "this TensorFlow has TensorRT, and this version of envctl does not convert with it")


def load(source, options):
    raise StepFailed("unsupported", "envctl does not run models of TF-TRT")
