"""No engine: a person's own metric, run with numpy alone.

FUNCTION(outputs, labels) gets a dictionary of arrays with the samples first, and the labels as the dataset has them; it
gives a score for each sample, of which more is better.
"""

import os

from adapters.samples import function
from failure import StepFailed


def open_engine():
    import numpy  # noqa: F401


def versions():
    import numpy

    return {"numpy": numpy.__version__}


def convert(source, target, options):
    import numpy

    names = options["outputs"]
    folder = os.path.join(os.path.dirname(target), "inputs")
    arrays = [numpy.load(os.path.join(folder, "%d.npy" % index)) for index in range(2 * len(names) + 1)]
    score, labels = function(source, options["function"]), arrays.pop()
    for index in range(2):
        answers = dict(zip(names, arrays[index * len(names) : (index + 1) * len(names)]))
        found = numpy.asarray(score(answers, labels))
        if found.shape != (len(labels),) or found.dtype.kind not in "buif":
            told = (options["function"], found.dtype, list(found.shape), len(labels))
            raise StepFailed("unsupported", "%s gave %s%s, not a score for each of %d samples" % told)
        numpy.save(os.path.join(target, "%d.npy" % index), found.astype(numpy.float64), allow_pickle=False)
    return {"artifacts": ["0.npy", "1.npy"], "read_back": {}}
