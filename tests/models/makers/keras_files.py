"""Keras's formats, with Keras 2 (TensorFlow up to 2.15) or 3: .keras, .h5, its SavedModel, and one with a Lambda."""

import json
import os
import shutil
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import tensorflow as tf
from keras import layers

MAJOR = keras.__version__.split(".", maxsplit=1)[0]


def functional():
    """Two inputs, two outputs."""
    image = keras.Input((8, 8, 3), name="image")
    words = keras.Input((None,), dtype="int32", name="words")
    hidden = layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    hidden = layers.GlobalAveragePooling2D(name="pool")(hidden)
    embedded = layers.GlobalAveragePooling1D(name="mean")(layers.Embedding(10, 4, name="embed")(words))
    joined = layers.Concatenate(name="join")([hidden, embedded])
    outputs = [layers.Dense(5, activation="softmax", name="classes")(joined), layers.Dense(1, name="score")(joined)]
    return keras.Model([image, words], outputs, name="two")


def sequential():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(5)], name="seq"
    )


def with_lambda():
    inner = keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x * 2.0, name="twice")], name="inner")
    return keras.Sequential([keras.Input((4,)), inner, layers.Dense(2)], name="outer")


registered = getattr(keras.saving, "register_keras_serializable", None) or keras.utils.register_keras_serializable


@registered(package="acme")
class Gate(layers.Layer):
    """A layer that only its author has."""

    def call(self, x):
        return x * tf.sigmoid(x)


def custom():
    return keras.Sequential([keras.Input((4,)), Gate(name="gate"), layers.Dense(2)], name="custom")


def told(model):
    """What Keras says of a model."""
    return {
        "version": keras.__version__,
        "inputs": [_input(each) for each in model.inputs],
        "outputs": list(getattr(model, "output_names", [])),
        "output_shapes": [list(each.shape) for each in model.outputs],
        "layers": sorted({type(each).__name__ for each in model.layers}),
        "parameters": model.count_params(),
    }


def _input(tensor):
    dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
    return {"name": tensor.name.split(":")[0], "dtype": dtype, "shape": list(tensor.shape)}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    said = {}
    for make in (functional, sequential, with_lambda, custom):
        keras.utils.set_random_seed(1)
        model = make()
        for ending in ("keras", "h5"):
            name = f"{make.__name__}.{MAJOR}.{ending}"
            model.save(folder / name)
            said[name] = told(model)
    model = functional()
    where = folder / f"saved_model.keras{MAJOR}"
    shutil.rmtree(where, ignore_errors=True)
    model.export(str(where)) if MAJOR == "3" else model.save(str(where))
    loaded = tf.saved_model.load(str(where))
    served = loaded.signatures["serving_default"]
    said[where.name] = {
        "version": tf.__version__,
        "inputs": {k: list(v.shape) for k, v in served.structured_input_signature[1].items()},
        "outputs": {k: list(v.shape) for k, v in served.structured_outputs.items()},
        "parameters": model.count_params(),
    }
    (folder / "said.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")


main(Path(sys.argv[1]))
