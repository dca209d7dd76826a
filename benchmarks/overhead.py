"""What envctl's timing adds to one inference: python overhead.py WORKER MODEL, with an engine's own Python.

The same call on the smallest of models, timed by hand and by the worker's loop, in turns. Prints microseconds as JSON:
how much more the worker's loop reports than the loop by hand, and how much CPU time it takes for each call beside it.
"""

import functools
import json
import statistics
import sys
import time

TURNS, CALLS = 20, 5000


def by_hand(call):
    """What a person writes: the median of the times."""
    taken = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def by_worker(measure, call):
    """The median that the worker's loop reports, and the CPU time of the loop for each call: nobody's neighbour's."""
    began = time.thread_time()
    taken = measure.timed(call, CALLS * 1e-5)
    return statistics.median(taken) / 1e9, (time.thread_time() - began) / len(taken)


def plainly(call):
    """The CPU time of a call in a loop that measures nothing."""
    began = time.thread_time()
    for _ in range(CALLS):
        call()
    return (time.thread_time() - began) / CALLS


def main():
    worker, model = sys.argv[1:3]
    sys.path.insert(0, worker)
    import measure
    import numpy
    import onnxruntime
    from adapters import onnxruntime as adapter

    session = adapter.load(model, {"threads": 1})
    feed = {session.inputs[0]: numpy.ones(1, numpy.float32)}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    direct = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    ours, theirs = measure.prepared(session, feed), functools.partial(direct.run, None, feed)
    turns = [(by_worker(measure, ours), by_hand(theirs), plainly(theirs)) for _ in range(TURNS)]
    reported = statistics.median(told - other for (told, _), other, _ in turns)
    cpu = statistics.median(took - plain for (_, took), _, plain in turns)
    call = statistics.median(other for _, other, _ in turns)
    print(json.dumps({"reported_us": reported * 1e6, "cpu_us": cpu * 1e6, "call_us": call * 1e6}))


main()
