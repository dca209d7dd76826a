"""Times a model: loads it once, then does what each line in the pipe FOLDER/turn says, and answers in FOLDER/said.

Between two turns it sleeps in a read. Nothing is decided here: every single time goes to the host. What is timed is one
call that does one inference on inputs that the engine has already, where its interface allows that (docs/compare.md).
"""

import gc
import json
import os
import threading
import time

LEAST = 3  # inferences of a turn, however long they take
MOST = 10000
WINDOWS = 3  # of a throughput


def measure(adapter, job, folder, source, timings, check_names):
    import numpy

    feeds = {entry["name"]: numpy.load(os.path.join(folder, entry["file"])) for entry in job["inputs"]}
    bench = Bench(adapter, source, job["options"], feeds)
    bench.start(timings, check_names)
    answer = dict(read_back=bench.session.read_back(), timings=timings, versions=adapter.versions(), **memory())
    with open(os.path.join(folder, "turn"), encoding="utf-8") as turns, open(os.path.join(folder, "said"), "w") as said:
        while True:
            said.write(json.dumps(answer) + "\n")
            said.flush()
            line = turns.readline()
            wish = json.loads(line) if line else {"do": "end"}  # the host is gone
            if wish["do"] == "end":
                return {"read_back": bench.session.read_back()}
            answer = bench.times(wish) if wish["do"] == "time" else bench.together(wish)


def memory():
    """Resident bytes now, and the most so far (getrusage would count what the parent had before this was started)."""
    with open("/proc/self/status", encoding="utf-8") as stream:
        lines = dict(line.split(":", 1) for line in stream if ":" in line)
    kib = {name: int(lines[key].split()[0]) for name, key in (("resident", "VmRSS"), ("peak", "VmHWM"))}
    return {name: size * 1024 for name, size in kib.items()}


class Bench:
    """One loaded model, ready to be timed."""

    def __init__(self, adapter, source, options, feeds):
        self.adapter, self.source, self.options, self.feeds = adapter, source, options, feeds
        self.session = self.call = None
        self.rested = (time.perf_counter(), time.process_time())

    def start(self, timings, check_names):
        """Load the model and run it once, by the way that the verdict ran it."""
        started = time.perf_counter()
        self.session = self.adapter.load(self.source, self.options)
        timings["load"] = time.perf_counter() - started
        check_names(list(self.feeds), self.session.inputs)
        feed = self.feed(1)
        started = time.perf_counter()
        self.session.run(feed)
        timings["first"] = time.perf_counter() - started
        self.call = prepared(self.session, feed)
        self.rested = (time.perf_counter(), time.process_time())

    def feed(self, times):
        """One inference's inputs, or `times` as many in its batch: the samples again and again; scalars stay."""
        import numpy

        def stacked(array):
            samples = [numpy.asarray(array[index % len(array)]) for index in range(times)]
            return samples[0] if times == 1 or not samples[0].ndim else numpy.concatenate(samples)

        return {name: stacked(array) for name, array in self.feeds.items()}

    def times(self, wish):
        """The nanoseconds of each inference in one turn, and the CPU time that the turn and the rest before it took."""
        rest, idle = time.perf_counter() - self.rested[0], time.process_time() - self.rested[1]
        before = time.process_time()
        taken = timed(self.call, wish["seconds"])
        now = time.process_time()
        self.rested = (time.perf_counter(), now)
        return dict(ns=taken, cpu=now - before, rest=rest, idle=idle, **memory())

    def together(self, wish):
        """Inferences a second of several at once, in a few windows; or why that cannot be done."""
        try:
            feed = self.feed(wish["times"])
            calls = lanes(self, feed, wish["lanes"])
            rates = [rate(calls, wish["seconds"]) for _ in range(WINDOWS)]
        except Exception as error:
            return {"error": "%s: %s" % (type(error).__name__, str(error)[:500]), **memory()}
        finally:
            self.rested = (time.perf_counter(), time.process_time())
        return dict(rates=rates, **memory())


def prepared(session, feed):
    """A call without arguments that does one inference."""
    prepare = getattr(session, "prepared", None)
    return prepare(feed) if prepare else lambda: session.run(feed)


def lanes(bench, feed, count):
    """That many calls which may be made at the same time; engines that know no better get a session for each."""
    own = getattr(bench.session, "lanes", None)
    if own:
        return own(feed, count)
    more = [bench.adapter.load(bench.source, bench.options) for _ in range(count)]
    return [prepared(session, feed) for session in more]


def timed(call, seconds):
    """The nanoseconds of each call. Nothing else is done between two readings of the clock."""
    taken, clock = [], time.perf_counter_ns
    add = taken.append
    gc.collect()
    gc.disable()
    try:
        end = clock() + int(seconds * 1e9)
        after = 0
        while (after < end or len(taken) < LEAST) and len(taken) < MOST:
            before = clock()
            call()
            after = clock()
            add(after - before)
    finally:
        gc.enable()
    return taken


def rate(calls, seconds):
    """Calls a second, all lanes together: each counts those that it ended until the time was over."""
    done = [0.0] * len(calls)
    failed = []
    gate = threading.Barrier(len(calls))

    def lane(index):
        call, count, clock = calls[index], 0, time.perf_counter
        try:
            call()
            gate.wait(60)
            started = now = clock()
            while now - started < seconds:
                call()
                count += 1
                now = clock()
            done[index] = count / (now - started)
        except Exception as error:
            gate.abort()
            failed.append(error)

    threads = [threading.Thread(target=lane, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    real = [error for error in failed if not isinstance(error, threading.BrokenBarrierError)]
    if failed:
        raise (real or failed)[0]
    return sum(done)
