"""Outputs written as they come: a run with many outputs keeps one sample's of them in memory, and not all."""

import os
import time

from failure import StepFailed


def run(session, feeds, folder):
    """One inference a sample. Returns what was written (as `outputs` of the answer has it) and each one's seconds."""
    import numpy

    os.makedirs(os.path.join(folder, "outputs"), exist_ok=True)
    samples, seconds, files = len(feeds[0][1]), [], []
    try:
        for index in range(samples):
            feed = {name: numpy.asarray(array[index]) for name, array in feeds}
            started = time.perf_counter()
            answers = session.run(feed)
            seconds.append(time.perf_counter() - started)
            if not files:
                files = [File(folder, number, samples, answer) for number, answer in enumerate(answers)]
            for file, answer, (name, _) in zip(files, answers, session.outputs):
                file.add(answer, name)
    finally:
        for file in files:
            file.stream.close()
    outputs = [{"name": name, "dtype": dtype, "file": file.name} for file, (name, dtype) in zip(files, session.outputs)]
    return outputs, seconds


class File:
    """One output's .npy, [samples, *shape], a sample at a time."""

    def __init__(self, folder, number, samples, first):
        import numpy

        self.name, first = "outputs/%d.npy" % number, plain(first)
        self.shape, self.dtype = first.shape, first.dtype
        self.stream = open(os.path.join(folder, self.name), "wb")  # noqa: SIM115 - closed by `run`
        told = {
            "descr": numpy.lib.format.dtype_to_descr(first.dtype),
            "fortran_order": False,
            "shape": (samples, *first.shape),
        }
        numpy.lib.format.write_array_header_1_0(self.stream, told)

    def add(self, answer, name):
        import numpy

        array = plain(answer)
        if array.shape != self.shape:
            raise StepFailed("unsupported", "the shape of output %s depends on the values of the input" % name)
        array = numpy.ascontiguousarray(array)
        self.stream.write(array.reshape(-1).view(numpy.uint8).data if array.size else b"")


def plain(answer):
    """The array as it is, or its values as float32 where .npy has no such type (bfloat16, float8)."""
    import numpy

    array = numpy.asarray(answer)
    return array.astype(numpy.float32) if array.dtype.kind == "V" else array
