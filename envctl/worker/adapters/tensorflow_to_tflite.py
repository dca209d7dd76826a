"""TensorFlow sources -> TensorFlow Lite. API: https://www.tensorflow.org/api_docs/python/tf/lite/TFLiteConverter"""

import os
import shutil

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
    with open(os.path.join(target, "model.tflite"), "wb") as stream:
        stream.write(converter.convert())
    shutil.rmtree(folder)
    return {"artifacts": ["model.tflite"], "read_back": {}}


def frozen(found):
    """The source's function with its variables as constants. Of a SavedModel with a Keras 3 model in it the
    converter of TensorFlow 2.21 makes a file that answers NaN (docs/evidence.md#tflite-keras-3)."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function, specs = named_function(found, public=True)
    constant = convert_variables_to_constants_v2(function.get_concrete_function())
    names = sorted(found.outputs)  # the order of a dictionary's tensors
    return tf.function(lambda *tensors: dict(zip(names, constant(*tensors))), input_signature=specs)
