"""ONNX Runtime in a loop, as a person writes it: python direct.py MODEL THREADS INPUTS.npz

For each line of standard input, a number of seconds, it prints the times of that long as a list in JSON.
"""

import json
import sys
import time

import numpy
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feed = dict(numpy.load(sys.argv[3]))
for _ in range(10):
    session.run(None, feed)
for line in sys.stdin:
    taken = []
    end = time.perf_counter() + float(line)
    while time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, feed)
        taken.append(time.perf_counter() - start)
    print(json.dumps(taken), flush=True)
