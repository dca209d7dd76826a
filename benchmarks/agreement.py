"""envctl's latencies against the engines' own tools: python benchmarks/agreement.py [--pairs N] [--threads N]

OpenVINO's benchmark_app (synchronous, one stream, inference only) and a loop of ONNX Runtime calls, each in the very
environment that envctl measures in, in turns with a round of envctl; the median of the pairs' ratios, and beside it that
of the shortest times, which neighbours disturb less. Then what envctl's timing adds to one inference.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import numpy as np

from envctl.bench.figures import round_median
from envctl.cli.pins import read_pins
from envctl.host import read_host
from envctl.runner import WORKER
from envctl.workflow.ask import Ask
from envctl.workflow.bout import Bout
from envctl.workflow.cells import Wish
from envctl.workflow.feeds import make_feeds
from envctl.workflow.judged import judge
from envctl.workflow.outcome import Outcome
from envctl.workflow.source import read_source
from tests.engine_jobs import Mute
from tests.models import mobilenet
from tests.models.graph import Graph, save

CAP = 600.0
MEDIAN, LEAST = (re.compile(name + r":\s+([\d.]+) ms") for name in ("Median", "Min"))
Told = tuple[float, float]  # seconds: median, least


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="envctl-agreement-") as folder:
        model = mobilenet.make(Path(folder) / "mobilenet.onnx")
        for engine, version, tool in (("openvino", "2026.4", benchmark_app), ("onnxruntime", "1.31", loop)):
            with measured(engine, version, model, given.threads, Path(folder)) as bout:
                other = tool(bout, model, given.threads, given.seconds)
                report(engine, version, bout, other, given.pairs, given.seconds)
                if engine == "onnxruntime":
                    overhead(bout, Path(folder))


@contextmanager
def measured(engine: str, version: str, model: Path, threads: int, folder: Path) -> Iterator[Bout]:
    """The model with that engine, verified, loaded and warm in a worker of envctl."""
    option = {"openvino": "--openvino", "onnxruntime": "--ort"}[engine]
    pins = read_pins({option: version}, [])
    ask = Ask(task="verify", engine=engine, pins=pins, runner="local", model=model, threads=threads, samples=4)
    judged = judge(ask, read_source(model), read_host(), folder / engine, Mute())
    bout = Bout(wish=Wish(ask=ask, said=version, batch=1, colocate=1, number=0), judged=judged)
    try:
        bout.open(CAP)
        bout.warm(1.0, CAP)
        yield bout
    finally:
        bout.close()


def report(engine: str, version: str, bout: Bout, other: Callable[[], Told], pairs: int, seconds: float) -> None:
    """A line for each pair and the medians of their ratios; who goes first changes."""
    ratios, least = [], []
    for number in range(pairs):
        before = other() if number % 2 else None
        bout.measure(seconds, CAP)
        ours = (round_median(bout.rounds[-1]), min(bout.rounds[-1][0]))
        theirs = before or other()
        ratios.append(ours[0] / theirs[0])
        least.append(ours[1] / theirs[1])
        share = bout.turns[-1].share
        print(f"  {ours[0] * 1e3:8.3f} ms  {theirs[0] * 1e3:8.3f} ms  {ratios[-1]:.3f}   least {least[-1]:.3f}   "
              f"other work {share:.0%}", flush=True)  # fmt: skip
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"{engine} {version}: median of {pairs} ratios {statistics.median(ratios):.3f} ({spread}), "
          f"of the shortest times {statistics.median(least):.3f}", flush=True)  # fmt: skip


def said(command: list[object]) -> str:
    """What a tool prints; a session of its own, as workers have: the kernel shares the CPUs out among sessions."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=True, start_new_session=True)
    return done.stdout


def benchmark_app(bout: Bout, _: Path, threads: int, seconds: float) -> Callable[[], Told]:
    """What OpenVINO's own tool tells of the same artifact."""
    artifact = bout.judged.work.outcome.made()[0]
    scripts = bout.judged.work.target.environment.python.parent
    fixed = ("-d", "CPU", "-api", "sync", "-hint", "none", "-nstreams", "1", "-infer_precision", "f32")
    times = ("-nthreads", threads, "-inference_only", "True", "-t", max(1, round(seconds)))

    def once() -> Told:
        text = said([scripts / "benchmark_app", "-m", artifact, *fixed, *times])
        found = MEDIAN.search(text), LEAST.search(text)
        assert found[0] and found[1], text
        return float(found[0][1]) / 1e3, float(found[1][1]) / 1e3

    return once


def loop(bout: Bout, model: Path, threads: int, seconds: float) -> Callable[[], Told]:
    """What a loop by hand tells of the model itself."""
    work = bout.judged.work
    inputs = work.folder / "first.npz"
    feeds = make_feeds(work.ask, work.source, Outcome(task="verify"))
    np.savez(inputs, **{name: array[0] for name, array in feeds.items()})
    python = work.target.environment.python

    def once() -> Told:
        middle, least = said([python, "-I", HERE / "direct.py", model, threads, seconds, inputs]).split()
        return float(middle), float(least)

    return once


def overhead(bout: Bout, folder: Path) -> None:
    """What envctl's timing adds to one inference of a model that does nothing."""
    g = Graph("nothing")
    g.op("Identity", "x", out="y")
    tiny = save(g.model({"x": [1]}, {"y": [1]}), folder / "tiny.onnx")
    python = bout.judged.work.target.environment.python
    command = [python, "-I", HERE / "overhead.py", WORKER, tiny]
    told = json.loads(said(command))
    print(f"overhead of envctl: {told['reported_us']:+.2f} us in the figure, {told['cpu_us']:.2f} us of CPU time, "
          f"on a call of {told['call_us']:.1f} us")  # fmt: skip


main()
