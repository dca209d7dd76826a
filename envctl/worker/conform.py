"""Many small models in one worker: convert, load, run each, and write down what came of it.

<folder>/cases.jsonl     a line when a case is begun and one when it ends: what stands open there died with the worker
<folder>/answers/C.npz   the outputs of case C, by their numbers
The source is a folder: <case>/model.onnx, <case>/inputs.npz.
"""

import json
import os
import shutil
import signal
import time

from failure import kind_of

FEW = 64


def conform(adapter, job, folder, source):
    """Do every case of the job, each for itself; what fails is an answer like any other."""
    options = job["options"]
    os.makedirs(os.path.join(folder, "answers"), exist_ok=True)
    with open(os.path.join(folder, "cases.jsonl"), "a", encoding="utf-8", buffering=1) as lines:
        for case in options["cases"]:
            lines.write(json.dumps({"case": case, "status": "begun"}) + "\n")
            signal.alarm(int(options["case_seconds"]))  # a case that hangs ends the worker, and the next one goes on
            lines.write(json.dumps(dict(one(adapter, case, folder, source, options), case=case)) + "\n")
    signal.alarm(0)
    return {"artifacts": [], "read_back": {}}


def one(adapter, case, folder, source, options):
    """What came of a case: status, the stage it ended in, the message, seconds."""
    target = os.path.join(folder, "tmp", "case")
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(target)
    done = {"status": "ok", "stage": "convert", "message": ""}
    started = time.perf_counter()
    print("==== " + case, flush=True)
    try:
        attempt(adapter, case, folder, os.path.join(source, case), target, options, done)
    except BaseException as error:
        text = str(error) or type(error).__name__
        done.update(status=kind_of(error), message="%s: %s" % (type(error).__name__, text[:2000]))
    done["seconds"] = time.perf_counter() - started
    return done


def attempt(adapter, case, folder, source, target, options, done):
    import numpy

    with numpy.load(os.path.join(source, "inputs.npz"), allow_pickle=False) as archive:
        feed = {name: archive[name] for name in archive.files}
    shapes = {name: list(array.shape) for name, array in feed.items()}
    chosen = dict(options["adapter"], shapes=shapes, values=whole_numbers(feed), inputs=list(feed))
    made = adapter.convert(os.path.join(source, "model.onnx"), target, chosen)["artifacts"]
    if not options["execute"]:
        return
    done["stage"] = "load"
    session = adapter.load(os.path.join(target, made[0]), chosen)
    done["stage"] = "run"
    answers = session.run({name: feed[name] for name in session.inputs})
    arrays = {str(index): widened(numpy, answer) for index, answer in enumerate(answers)}
    numpy.savez(os.path.join(folder, "answers", case + ".npz"), **arrays)
    done["stage"] = "ran"


def whole_numbers(feed):
    """The numbers of those inputs that may decide on shapes: few, and integers."""
    found = {name: array for name, array in feed.items() if array.dtype.kind in "iu" and array.ndim <= 1}
    return {name: array.reshape(-1).tolist() for name, array in found.items() if array.size <= FEW}


def widened(numpy, answer):
    """An array that .npy can hold: text as text, types that numpy has not as float32."""
    array = numpy.array(answer, copy=True)
    if array.dtype.kind == "O":
        return array.astype(str)
    return array.astype(numpy.float32) if array.dtype.kind == "V" else array
