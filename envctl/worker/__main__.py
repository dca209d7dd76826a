"""Do one job: `python worker FOLDER SOURCE [--contained]`. The answer is FOLDER/result.json.

What the engine prints goes to FOLDER/worker.log: engines print to standard output, so nothing is read from there.
Under `--contained` a container has taken care of network, memory and files already.
"""

import gc
import importlib
import json
import os
import resource
import signal
import sys
import time

from failure import StepFailed, kind_of

EMPTY = {"artifacts": [], "outputs": [], "versions": {}, "read_back": {}, "timings": {}, "lacking": []}


def main():
    folder, source = [os.path.abspath(path) for path in sys.argv[1:3]]
    with open(os.path.join(folder, "job.json"), encoding="utf-8") as stream:
        job = json.load(stream)
    print_to(os.path.join(folder, "worker.log"))
    answer = dict(EMPTY, status="ok", message="", sandbox=shut_in(folder, job, "--contained" in sys.argv[3:]))
    try:
        answer.update(perform(job, folder, source))
    except BaseException as error:
        import traceback

        traceback.print_exc()
        answer.update(status=kind_of(error), message=first_lines(error), lacking=getattr(error, "lacking", []))
    answer["peak_memory"] = peak_memory()
    write_answer(folder, answer)


def peak_memory():
    """The most that this process had in memory, in bytes. Not getrusage's figure: a process begins with its parent's,
    and envctl may hold large arrays. https://man7.org/linux/man-pages/man5/proc_pid_status.5.html (VmHWM)"""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
            return next(int(line.split()[1]) for line in stream if line.startswith("VmHWM")) * 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def print_to(path):
    """Send file descriptors 1 and 2, not only Python's streams, to the log."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def shut_in(folder, job, contained):
    temporary = os.path.join(folder, "tmp")
    os.makedirs(temporary, exist_ok=True)
    os.environ["TMPDIR"] = os.environ["HOME"] = temporary
    signal.alarm(int(job["limits"]["seconds"]) + 5)  # should whoever started this be gone by then
    if contained:
        return {"by": "container"}
    import sandbox

    on_gpu = job["options"].get("device") == "cuda"
    return dict(sandbox.enter(folder, job["limits"], on_gpu), by="worker")


def first_lines(error):
    text = "%s: %s" % (type(error).__name__, error)
    return text if isinstance(error, StepFailed) is False else str(error)


def perform(job, folder, source):
    """Import the engine, do the step, and say what was imported, what ran and how long it took (seconds)."""
    started = time.perf_counter()
    gc.disable()  # an import makes nothing but what stays; looking for garbage meanwhile takes a tenth of its time
    adapter = importlib.import_module("adapters." + job["adapter"])
    adapter.open_engine()
    gc.enable()
    timings = {"import": time.perf_counter() - started}
    if job["after"]:
        source = awaited(folder, source)
    if job["step"] == "convert":
        done = convert(adapter, job, folder, source, timings)
    elif job["step"] == "conform":
        import conform

        done = conform.conform(adapter, job, folder, source)
    elif job["step"] == "measure":
        import measure

        done = measure.measure(adapter, job, folder, source, timings, check_names)
    elif job["step"] == "shapes":
        done = {"read_back": adapter.shapes(source, job["options"])}
    elif job["step"] == "ask":
        adapter.ask(source, job["options"])
        done = {}
    else:
        done = infer(adapter, job, folder, source, timings)
    return dict(done, versions=adapter.versions(), timings=timings)


def awaited(folder, source):
    """The source, once the inputs are there; where it is a folder, the file that was being made in it meanwhile. The
    job's time cap bounds the wait."""
    path = os.path.join(folder, "go")
    while not os.path.exists(path):
        time.sleep(0.002)
    with open(path, encoding="utf-8") as stream:
        made = stream.read()
    return os.path.join(source, made) if made else source


def convert(adapter, job, folder, source, timings):
    target = os.path.join(folder, "artifact")
    os.makedirs(target, exist_ok=True)
    started = time.perf_counter()
    done = adapter.convert(source, target, job["options"])
    timings["convert"] = time.perf_counter() - started
    for name in done["artifacts"]:
        if not os.path.getsize(os.path.join(target, name)):
            raise StepFailed("engine-error", "the engine wrote an empty file: " + name)
    return {"artifacts": ["artifact/" + name for name in done["artifacts"]], "read_back": done["read_back"]}


def infer(adapter, job, folder, source, timings):
    import numpy

    started = time.perf_counter()
    session = adapter.load(source, job["options"])
    timings["load"] = time.perf_counter() - started
    feeds = [(entry["name"], numpy.load(os.path.join(folder, entry["file"]))) for entry in job["inputs"]]
    check_names([name for name, _ in feeds], session.inputs)
    if job["options"].get("stream"):
        import streamed

        outputs, seconds = streamed.run(session, feeds, folder)
    else:
        columns, seconds = run_all(session, feeds)
        outputs = save(folder, session.outputs, columns)
    timings.update(first=seconds[0], median=sorted(seconds)[len(seconds) // 2])
    return {"outputs": outputs, "read_back": session.read_back()}


def check_names(given, wanted):
    if sorted(given) != sorted(wanted):
        raise StepFailed("invalid-model", "inputs are %s, the engine's model has %s" % (given, wanted))


def run_all(session, feeds):
    """One inference a sample. Returns the outputs (a list of samples each) and the seconds of each inference."""
    import numpy

    samples = len(feeds[0][1])
    columns, seconds = [[] for _ in session.outputs], []
    for index in range(samples):
        feed = {name: numpy.asarray(array[index]) for name, array in feeds}  # of scalars it would be no array
        started = time.perf_counter()
        answers = session.run(feed)
        seconds.append(time.perf_counter() - started)
        for column, answer in zip(columns, answers):
            column.append(widened(answer))
    return columns, seconds


def widened(array):
    """The array itself, or its values as float32 where .npy has no such type (bfloat16, float8)."""
    import numpy

    array = numpy.array(array, copy=True)
    return array.astype(numpy.float32) if array.dtype.kind == "V" else array


def save(folder, outputs, columns):
    import numpy

    os.makedirs(os.path.join(folder, "outputs"), exist_ok=True)
    described = []
    for index, ((name, dtype), column) in enumerate(zip(outputs, columns)):
        if len({array.shape for array in column}) > 1:
            raise StepFailed("unsupported", "the shape of output %s depends on the values of the input" % name)
        file = "outputs/%d.npy" % index
        numpy.save(os.path.join(folder, file), numpy.stack(column), allow_pickle=False)
        described.append({"name": name, "dtype": dtype, "file": file})
    return described


def write_answer(folder, answer):
    """Write result.json under another name first: a half-written answer must not be read."""
    partial = os.path.join(folder, "result.json.partial")
    with open(partial, "w", encoding="utf-8") as stream:
        json.dump(answer, stream)
    os.replace(partial, os.path.join(folder, "result.json"))
    sys.stdout.flush()
    # engines crash in their destructors; the work is done and written
    os._exit(0)


if __name__ == "__main__":
    main()
