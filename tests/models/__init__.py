"""Models for the tests: made from fixed seeds when asked for; only small/ is kept, which takes gigabytes to make.

graph.py      Graph writes small seeded ONNX graphs; feeds and flow: a model's seeded inputs, its outputs.
digits.py     a CNN trained on real 8x8 digits in about a second, and its held-out images with their labels.
mobilenet.py  MobileNetV2, 3.5 M weights, random but calibrated: its output answers its input.
zoo.py        small honest models of many structures, opsets 11 to 20: all engines must agree on them.
altered.py    faulty copies of a model: a verdict that passes one of them is wrong.
makers/       scripts for the environments of TensorFlow, Keras, torch and engines (tests/frameworks.py).
small/        a few KB of each format, written by those, with what each framework says of them (said.json).
bad.py        files that are no models, broken models, and models that a tool must refuse or name.

Needed: numpy, onnx, scikit-learn (digits), onnxruntime (mobilenet, flow).
Run one as `python -m tests.models.zoo FOLDER`.
"""
