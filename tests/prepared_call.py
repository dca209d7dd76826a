"""Run by an engine's own Python: python prepared_call.py WORKER ADAPTER MODEL OPTIONS

Prints how far what a prepared call left is from a run on the same inputs, and from a run on others.
"""

import importlib
import json
import sys


def left(name, session, answer):
    """The results of the last call, wherever the engine keeps them."""
    count = range(len(session.outputs))
    if name == "openvino":
        return [session.request.get_output_tensor(index).data for index in count]
    if name == "litert":
        return [session.interpreter.get_tensor(detail["index"]) for detail in session.answers]
    return [answer[f"out{index}"].numpy() for index in count] if name == "tensorflow" else answer


def main():
    worker, name, model, options = sys.argv[1:5]
    sys.path.insert(0, worker)
    import measure
    import numpy

    adapter = importlib.import_module("adapters." + name)
    adapter.open_engine()
    session = adapter.load(model, json.loads(options))
    shapes = json.loads(options)["shapes"]
    draw = numpy.random.default_rng(0)
    one, other = (
        {key: numpy.asarray(draw.standard_normal(shapes[key]), numpy.float32) for key in session.inputs}
        for _ in range(2)
    )
    expected, wrong = ([numpy.array(each) for each in session.run(feed)] for feed in (one, other))
    call = measure.prepared(session, one)
    found = left(name, session, call())

    def far(these, those):
        return max(float(numpy.abs(numpy.asarray(a) - b).max()) for a, b in zip(these, those, strict=True))

    print(json.dumps({"same": far(found, expected), "other": far(found, wrong)}))


main()
