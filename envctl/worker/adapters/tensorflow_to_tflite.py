"""TensorFlow sources -> TensorFlow Lite. API: https://www.tensorflow.org/api_docs/python/tf/lite/TFLiteConverter"""

import os
import shutil

from adapters.graph_types import calibration
from adapters.tensorflow import named_function, open_engine, read, versions  # noqa: F401


def convert(source, target, options):
    """A .tflite file; its signature has the names of the source's inputs and outputs."""
    import tensorflow as tf

    module = tf.Module()
    module.serve = frozen(read(source, options))
    folder = os.path.join(os.environ["TMPDIR"], "saved")  # the converter keeps signatures of SavedModels only
    tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
    if options.get("precision") == "fp16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    told = quantised(converter, os.path.dirname(target), options) if options.get("precision") == "int8" else {}
    with open(os.path.join(target, "model.tflite"), "wb") as stream:
        stream.write(converter.convert())
    shutil.rmtree(folder)
    return {"artifacts": ["model.tflite"], "read_back": told}


def quantised(converter, folder, options):
    """Have the converter write int8 throughout, between inputs and outputs that stay as they are: an operator that has
    no int8 kernel is an error. https://ai.google.dev/edge/litert/models/post_training_quantization#full_integer_quantization
    """
    import tensorflow as tf

    samples = calibration(folder, options["calibration"])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter(samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return {"calibration_samples": str(len(samples)), "quantisation": "TensorFlow Lite, full int8"}


def frozen(found):
    """The source's function with its variables as constants. Of a SavedModel with a Keras 3 model in it the
    converter of TensorFlow 2.21 makes a file that answers NaN (docs/evidence.md#tflite-keras-3)."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function, specs = named_function(found, public=True)
    constant = convert_variables_to_constants_v2(function.get_concrete_function())
    names = sorted(found.outputs)  # the order of a dictionary's tensors
    return tf.function(lambda *tensors: dict(zip(names, constant(*tensors))), input_signature=specs)
