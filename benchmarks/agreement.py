"""envctl's latencies against the engines' own tools: python benchmarks/agreement.py [--pairs N] [--threads N]

OpenVINO's benchmark_app (synchronous, one stream, inference only) and a loop of ONNX Runtime calls, each in the very
environment that envctl measures in; the median of the pairs' ratios of medians. benchmark_app and a round of envctl
take turns; the loop lives beside envctl's worker, and both work for a moment in turns, ten times a pair: what
neighbours do meets both. Then what envctl's timing adds to one inference.
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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

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

HERE = Path(__file__).resolve().parent
CAP = 600.0
MOMENTS = 10
MEDIAN = re.compile(r"Median:\s+([\d.]+) ms")
Pair = tuple[float, float]  # medians in seconds: envctl's, the other's


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="openvino,onnxruntime")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each side in a pair")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="envctl-agreement-") as folder:
        model = mobilenet.make(Path(folder) / "mobilenet.onnx")
        for engine, version, pairs in (("openvino", "2026.4", benchmark_app), ("onnxruntime", "1.31", loop)):
            if engine not in given.only:
                continue
            with measured(engine, version, model, given.threads, Path(folder)) as bout:
                report(engine, version, bout, pairs(bout, model, given))
                if engine == "onnxruntime":
                    by_call(bout, model)
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


def report(engine: str, version: str, bout: Bout, pairs: Iterator[Pair]) -> None:
    """A line for each pair and the median of their ratios."""
    ratios = []
    for ours, theirs in pairs:
        ratios.append(ours / theirs)
        share = bout.turns[-1].share
        print(f"  {ours * 1e3:8.3f} ms  {theirs * 1e3:8.3f} ms  {ratios[-1]:.3f}   other work {share:.0%}", flush=True)
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"{engine} {version}: median of {len(ratios)} ratios {statistics.median(ratios):.3f} ({spread})", flush=True)


def said(command: list[object]) -> str:
    """What a tool prints; a session of its own, as workers have: the kernel shares the CPUs out among sessions."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=True, start_new_session=True)
    return done.stdout


def benchmark_app(bout: Bout, _: Path, given: argparse.Namespace) -> Iterator[Pair]:
    """A round, and what OpenVINO's own tool tells of the same artifact; who goes first changes."""
    artifact = bout.judged.work.outcome.made()[0]
    scripts = bout.judged.work.target.environment.python.parent
    fixed = ("-d", "CPU", "-api", "sync", "-hint", "none", "-nstreams", "1", "-infer_precision", "f32")
    times = ("-nthreads", given.threads, "-inference_only", "True", "-t", max(1, round(given.seconds)))

    def other() -> float:
        text = said([scripts / "benchmark_app", "-m", artifact, *fixed, *times])
        found = MEDIAN.search(text)
        assert found, text
        return float(found[1]) / 1e3

    for number in range(given.pairs):
        before = other() if number % 2 else None
        bout.measure(given.seconds, CAP)
        yield round_median(bout.rounds[-1]), before or other()


def loop(bout: Bout, model: Path, given: argparse.Namespace) -> Iterator[Pair]:
    """Moments of envctl's worker and of a loop by hand on the model itself, in turns."""
    with by_hand(bout, model, given.threads) as other:
        for _ in range(given.pairs):
            ours: list[float] = []
            theirs: list[float] = []
            for _ in range(MOMENTS):
                bout.measure(given.seconds / MOMENTS, CAP)
                ours += bout.rounds[-1][0]
                theirs += other(given.seconds / MOMENTS)
            yield statistics.median(ours), statistics.median(theirs)


def by_call(bout: Bout, model: Path) -> None:
    """The same two in one process, call by call, in CPU time."""
    work = bout.judged.work
    made, inputs = work.outcome.made()[0], work.folder / "first.npz"
    ratio = float(said([work.target.environment.python, "-I", HERE / "by_call.py", WORKER, made, model, inputs]))
    print(f"call by call in one process: {ratio:.3f} of the CPU time", flush=True)


@contextmanager
def by_hand(bout: Bout, model: Path, threads: int) -> Iterator[Callable[[float], list[float]]]:
    """A loop that lives until the block ends: seconds in, times out."""
    work = bout.judged.work
    inputs = work.folder / "first.npz"
    feeds = make_feeds(work.ask, work.source, Outcome(task="verify"))
    np.savez(inputs, **{name: array[0] for name, array in feeds.items()})
    command = [work.target.environment.python, "-I", HERE / "direct.py", model, threads, inputs]
    words = [str(word) for word in command]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, text=True, start_new_session=True, **pipes) as process:
        assert process.stdin and process.stdout

        def moment(seconds: float) -> list[float]:
            print(seconds, file=process.stdin, flush=True)
            times: list[float] = json.loads(process.stdout.readline())
            return times

        yield moment
        process.stdin.close()


def overhead(bout: Bout, folder: Path) -> None:
    """What envctl's timing adds to one inference of a model that does nothing."""
    g = Graph("nothing")
    g.op("Identity", "x", out="y")
    tiny = save(g.model({"x": [1]}, {"y": [1]}), folder / "tiny.onnx")
    python = bout.judged.work.target.environment.python
    told = json.loads(said([python, "-I", HERE / "overhead.py", WORKER, tiny]))
    print(f"overhead of envctl: {told['reported_us']:+.2f} us in the figure, {told['cpu_us']:.2f} us of CPU time, "
          f"on a call of {told['call_us']:.1f} us")  # fmt: skip


main()
