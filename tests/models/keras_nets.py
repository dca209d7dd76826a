"""Networks of Keras with answers that depend on their input, in every format that TensorFlow writes.

Run inside an environment with TensorFlow: `envctl run --tf 2.15 -- python keras_nets.py FOLDER NET [NET …]`. Each is
saved as FOLDER/NET/saved_model (folder), frozen.pb, model.keras, model.h5 and, with channels last, model.tflite;
beside U-Nets lie calibration.npz and judged.npz, 32 samples each.

A network with fresh weights answers nearly the same to everything, and a comparison of its answers proves nothing
(docs/evidence.md#constant-models). So batch normalisations get random scales and the statistics of random images, and
the last layer is scaled until its answers differ. U-Net is trained: precisions below float32 are judged with it.
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

K = tf.keras
APPLICATIONS = {"mobilenetv2": ("MobileNetV2", 96), "resnet50": ("ResNet50", 64), "inceptionv3": ("InceptionV3", 96)}


def block(x, filters, axis):
    form = "channels_last" if axis == -1 else "channels_first"
    x = K.layers.Conv2D(filters, 3, padding="same", use_bias=False, data_format=form)(x)
    x = K.layers.BatchNormalization(axis=axis)(x)
    return K.layers.ReLU()(x)


def unet(form):
    """Two levels, 32 x 32, 4 classes a pixel: pooling, upsampling, transposed convolution, skips, channel softmax."""
    axis = -1 if form == "channels_last" else 1
    image = K.Input((32, 32, 3) if axis == -1 else (3, 32, 32), name="image")
    one = block(image, 8, axis)
    two = block(K.layers.MaxPooling2D(data_format=form)(one), 16, axis)
    three = block(K.layers.MaxPooling2D(data_format=form)(two), 16, axis)
    up = K.layers.UpSampling2D(data_format=form, interpolation="nearest")(three)
    up = block(K.layers.Concatenate(axis=axis)([up, two]), 16, axis)
    up = K.layers.Conv2DTranspose(8, 2, strides=2, data_format=form)(up)
    up = block(K.layers.Concatenate(axis=axis)([up, one]), 8, axis)
    logits = K.layers.Conv2D(4, 1, data_format=form)(up)
    return K.Model(image, K.layers.Softmax(axis=axis, name="classes")(logits))


def shapes(count, form, seed):
    """Images of a rectangle, a disc and a stripe on noise, and the class of every pixel."""
    generator = np.random.default_rng(seed)
    images = generator.normal(0, 0.3, (count, 32, 32, 3)).astype("float32")
    labels = np.zeros((count, 32, 32), "int64")
    rows, columns = np.mgrid[0:32, 0:32]
    for image, label in zip(images, labels, strict=True):
        y, x, size = *generator.integers(6, 26, 2), generator.integers(3, 7)
        label[(abs(rows - y) < size) & (abs(columns - x) < size)] = 1
        y, x = generator.integers(6, 26, 2)
        label[(rows - y) ** 2 + (columns - x) ** 2 < size**2] = 2
        label[abs(rows + columns - int(generator.integers(15, 50))) < 2] = 3
        image[:] += np.eye(4, 3, dtype="float32")[label]
    return (images if form == "channels_last" else images.transpose(0, 3, 1, 2)), labels


def trained_unet(form):
    model = unet(form)
    images, labels = shapes(256, form, 0)
    axis = -1 if form == "channels_last" else 1
    optimizer = K.optimizers.Adam(0.01)
    for step in range(80):
        rows = np.random.default_rng(step).integers(0, len(images), 32)
        with tf.GradientTape() as tape:
            answers = model(images[rows], training=True)
            likely = tf.reduce_sum(answers * tf.one_hot(labels[rows], 4, axis=axis), axis=axis)
            loss = -tf.reduce_mean(tf.math.log(likely + 1e-7))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
    return model


def seeded(name):
    """One of Keras' applications with random weights and answers that tell images apart."""
    kind, size = APPLICATIONS[name]
    model = getattr(K.applications, kind)(weights=None, input_shape=(size, size, 3), classes=20)
    generator = np.random.default_rng(1)
    norms = [layer for layer in model.layers if isinstance(layer, K.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
        kept = layer.get_weights()
        new = [generator.uniform(0.5, 1.5, each.shape) for each in kept[:-2]]
        layer.set_weights([each.astype("float32") for each in new] + kept[-2:])
    images = generator.normal(0, 1, (16, size, size, 3)).astype("float32")
    model(images, training=True)
    last = model.layers[-1]
    kernel, bias = last.get_weights()
    features = K.Model(model.input, last.input)(images, training=False).numpy()
    logits = features @ kernel
    last.set_weights([kernel * 2.5 / logits.std(), bias - logits.mean(0) * 2.5 / logits.std()])
    return model


def save(model, folder):
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    name, shape = model.inputs[0].name.split(":")[0], model.inputs[0].shape
    spec = tf.TensorSpec(shape, tf.float32, name=name)
    called = tf.function(lambda image: {"classes": model(image, training=False)}, input_signature=[spec])
    module = tf.Module()
    module.model, module.called = model, called
    tf.saved_model.save(module, str(folder / "saved_model"), signatures={"serving_default": called})
    frozen = convert_variables_to_constants_v2(called.get_concrete_function())
    (folder / "frozen.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())
    if shape[1] != 3:  # TensorFlow Lite has no kernels for channels first
        lite = tf.lite.TFLiteConverter.from_concrete_functions([frozen], module)
        (folder / "model.tflite").write_bytes(lite.convert())


def main(folder, *names):
    for name in names:
        tf.keras.utils.set_random_seed(0)
        if name.startswith("unet"):
            form = "channels_first" if name == "unet_cf" else "channels_last"
            model = trained_unet(form)
            (Path(folder) / name).mkdir(parents=True, exist_ok=True)
            for use, seed in (("calibration", 1), ("judged", 2)):
                np.savez(Path(folder) / name / f"{use}.npz", image=shapes(32, form, seed)[0][:, None])
        else:
            model = seeded(name)
        save(model, Path(folder) / name)
        print(name, model.inputs[0].shape, model.outputs[0].shape)


main(*sys.argv[1:])
