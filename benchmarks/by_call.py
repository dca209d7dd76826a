"""envctl's call and one by hand, in turns in one process: python by_call.py WORKER ARTIFACT MODEL INPUTS.npz

Prints the ratio of the medians of their CPU times (one thread): what neighbours do is in neither.
"""

import functools
import statistics
import sys
import time

CALLS = 150


def main():
    worker, artifact, model, inputs = sys.argv[1:5]
    sys.path.insert(0, worker)
    import measure
    import numpy
    import onnxruntime
    from adapters import onnxruntime as adapter

    feed = dict(numpy.load(inputs))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    direct = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    calls = [
        measure.prepared(adapter.load(artifact, {"threads": 1}), feed),
        functools.partial(direct.run, None, feed),
    ]
    taken = [[], []]
    for number in range(CALLS):
        for index in (0, 1) if number % 2 else (1, 0):
            began = time.thread_time()
            calls[index]()
            taken[index].append(time.thread_time() - began)
    print(statistics.median(taken[0]) / statistics.median(taken[1]))


main()
