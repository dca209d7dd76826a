"""TensorFlow sources -> TensorFlow Lite. API: https://www.tensorflow.org/api_docs/python/tf/lite/TFLiteConverter"""

import os
import shutil

from adapters.tensorflow import named_function, open_engine, read, versions  # noqa: F401


def convert(source, target, options):
    """A .tflite file; its signature takes in0, in1 … and gives out0, out1 …, in the order of the source's tensors."""
    import tensorflow as tf

    found = read(source, options)
    module = tf.Module()
    module.kept, (module.serve, _) = found.keep, named_function(found)
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
