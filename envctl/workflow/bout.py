"""One cell while it is measured: its workers, its turns, and what they said."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envctl.bench import figures
from envctl.bench.document import Point, Trouble
from envctl.bench.noise import Turn, turn
from envctl.bench.warmup import warm_up
from envctl.errors import EnvctlError, JobFailed
from envctl.job import Job, Result
from envctl.workflow import gpu_counters, route, steps, surroundings
from envctl.workflow.cells import Wish
from envctl.workflow.feeds import make_feeds
from envctl.workflow.judged import Judged, status_of, trouble
from envctl.workflow.live import Ended, Live, start
from envctl.workflow.outcome import Outcome
from envctl.workflow.plan import choose_runner
from envctl.workflow.prepare import check_versions
from envctl.workflow.route import source_options

if TYPE_CHECKING:
    from envctl.bench.document import CellStatus

FOLDER = "measure"
LIFE = 7 * 24 * 3600  # seconds: a worker that waits for its turn is not late; each turn has a cap of its own
FEEDS = 4  # samples that a worker gets: what is timed is the first, batches are made of all
MOST_WARM = 20  # turns, after which a cell that still gets faster is measured as it is


@dataclass(kw_only=True, slots=True)
class Bout:
    """A cell that is being measured. `ended` is set when it cannot go on; `foreign` and `joules` are of its rounds."""

    wish: Wish
    judged: Judged
    lives: list[Live] = field(default_factory=list)
    ready: dict[str, Any] = field(default_factory=dict)
    warmup: int = 0
    settled: bool = True
    rounds: list[list[list[float]]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    joules: list[float | None] = field(default_factory=list)
    on_gpu: int | None = None  # bytes of the GPU's memory that came into use since before its workers were started
    resident: int = 0
    peak: int = 0
    idle: float = 0.0
    rest: float = 0.0
    curve: list[Point] = field(default_factory=list)
    ended: tuple[CellStatus, Trouble] | None = None

    @contextmanager
    def guarded(self, when: str) -> Iterator[None]:
        """What ends this cell ends no other: it is noted, and its workers are ended."""
        try:
            yield
        except Ended as end:
            failed = steps.failure(end.job, self.judged.work.target, end.result)
            _, told = trouble(failed, when)
            self.ended = (status_of(end.result.status), told)
        except EnvctlError as error:
            self.ended = trouble(error, when)
        finally:
            if self.ended:
                self.close()

    def close(self) -> None:
        """End its workers."""
        while self.lives:
            self.lives.pop().close()

    def open(self, seconds: float) -> None:
        """Start its workers, one after the other: each loads while nothing else goes on."""
        self.on_gpu = self._used()
        for number in range(self.wish.colocate):
            job = _job(self.judged, number)
            self.lives.append(start(job, self.judged.work.target.environment, lambda: choose_runner(self._runner)[0]))
            said = self.lives[-1].answer(seconds)
            _check(self.judged, job, said)
            self.ready = self.ready or said

    @property
    def counts_gpu(self) -> bool:
        """Whether it runs on a GPU, so that the GPU's energy and memory are its own."""
        return self.judged.work.outcome.results["infer"].read_back.get("device") == "CUDA"

    def counters(self) -> tuple[tuple[Any, ...], str]:
        """The counters of the energy that it uses, or none and why."""
        return gpu_counters.counters() if self.counts_gpu else surroundings.counters()

    def _used(self) -> int | None:
        found, _ = gpu_counters.counters() if self.counts_gpu else ((), "")
        return found[0].used() if found else None

    @property
    def _runner(self) -> str:
        return self.judged.work.runner.name

    def _turn(self, seconds: float, cap: float) -> list[dict[str, Any]]:
        """One turn of all its workers at the same time: what each of them said."""
        said = self._all({"do": "time", "seconds": seconds}, cap)
        for each in said:
            self.idle, self.rest = self.idle + _number(each, "idle"), self.rest + _number(each, "rest")
        self.resident = max(int(_number(each, "resident")) for each in said)
        self.peak = max(self.peak, *(int(_number(each, "peak")) for each in said))
        return said

    def _all(self, wish: dict[str, Any], cap: float) -> list[dict[str, Any]]:
        for live in self.lives:
            live.send(wish)
        return [live.answer(cap) for live in self.lives]

    def warm(self, seconds: float, cap: float) -> None:
        """Turns until the times are steady."""
        samples: list[list[float]] = [[] for _ in self.lives]
        for _ in range(MOST_WARM):
            for known, said in zip(samples, self._turn(seconds, cap), strict=True):
                known.extend(_times(said))
            found = [warm_up(each) for each in samples]
            if None not in found or sum(map(sum, samples)) > MOST_WARM * seconds:
                break
        self.settled = None not in found
        now = self._used()
        self.on_gpu = now - self.on_gpu if now is not None and self.on_gpu is not None else None
        self.warmup = sum(len(each) if at is None else at for each, at in zip(samples, found, strict=True))

    def measure(self, seconds: float, cap: float) -> None:
        """One round, with what the machine did meanwhile."""
        counters, _ = self.counters()
        own, before = time.process_time(), surroundings.cpu()
        energy = [each.read() for each in counters]
        said = self._turn(seconds, cap)
        used = surroundings.joules(counters, energy, [each.read() for each in counters]) if counters else None
        after = surroundings.cpu()
        mine = time.process_time() - own + sum(_number(each, "cpu") for each in said)
        self.turns.append(turn(before, after, mine))
        self.rounds.append([_times(each) for each in said])
        self.joules.append(used / sum(map(len, self.rounds[-1])) if used is not None else None)

    def steady(self, wanted: int) -> bool:
        """Whether its last rounds agree."""
        return figures.steady([figures.round_median(each) for each in self.rounds], wanted).stable

    def saturate(self, batch: int, lanes: int, seconds: float, cap: float) -> Point:
        """One point of the search for the best throughput."""
        wish = {"do": "together", "lanes": lanes, "times": batch // self.wish.batch, "seconds": seconds}
        self.lives[0].send(wish)
        said = self.lives[0].answer(cap)
        if "error" in said:
            return Point(batch=batch, concurrency=lanes, per_s=None, because=str(said["error"])[:300])
        rates = sorted(_numbers(said, "rates"))
        return Point(batch=batch, concurrency=lanes, per_s=batch * rates[len(rates) // 2])


def _job(judged: Judged, number: int) -> Job:
    """The job of one worker: what the verdict ran, on the first of its samples."""
    work = judged.work
    files = _files(judged)
    folder = work.folder / f"{FOLDER}-{number}"
    made = steps.job(folder, "measure", work.target, files[0], list(files[1:]), work.ask, work.limits)
    made.options.update(source_options(work.source))
    feeds = route.turn(
        make_feeds(work.ask, work.source, Outcome(task="verify")), route.passed(work).channels_first, route.TO_NCHW
    )
    steps.write_inputs(folder, {name: array[:FEEDS] for name, array in feeds.items()})
    return replace(made, inputs=tuple(feeds), limits=replace(made.limits, seconds=LIFE))


def _files(judged: Judged) -> tuple[Path, ...]:
    """What the engine loads: what was made of the model, or the model itself, with what lies beside it."""
    work = judged.work
    if work.target.plan.spec.converts:
        return work.outcome.made()
    source = route.passed(work).model
    return (source.path, *source.files()[1:])


def artifact(judged: Judged) -> int:
    """The bytes of what the engine loads."""
    files = [inner for path in _files(judged) for inner in ([path] if path.is_file() else path.rglob("*"))]
    return sum(path.stat().st_size for path in files if path.is_file())


def _check(judged: Judged, job: Job, said: Mapping[str, Any]) -> None:
    """Raise where another version was imported, or another precision or device ran, than in the verdict."""
    versions = {str(name): str(value) for name, value in _object(said, "versions").items()}
    check_versions(judged.work.target, Result(status="ok", message="", folder=job.folder, versions=versions))
    before = judged.work.outcome.results["infer"].read_back
    read_back = _object(said, "read_back")
    for name in ("precision", "device"):
        if before.get(name) != read_back.get(name):
            what = f"the verdict was made with {name} {before.get(name)}, and {read_back.get(name)} runs now"
            raise JobFailed(what)


def _object(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = said.get(name)
    if not isinstance(value, dict):
        raise JobFailed(f"a worker's answer has no {name}")
    return value


def _number(said: Mapping[str, Any], name: str) -> float:
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e18:
        raise JobFailed(f"a worker's answer says {name} {value!r:.40}")
    return float(value)


def _numbers(said: Mapping[str, Any], name: str) -> list[float]:
    values = said.get(name)
    if not isinstance(values, list) or not values:
        raise JobFailed(f"a worker's answer has no {name}")
    return [_number({name: value}, name) for value in values]


def _times(said: Mapping[str, Any]) -> list[float]:
    """Nanoseconds as seconds; a clock that stood still for an inference says one nanosecond."""
    return [max(value, 1.0) / 1e9 for value in _numbers(said, "ns")]


def loads(bout: Bout) -> dict[str, float]:
    """The seconds of import, load and first inference, as the first worker told them."""
    told = _object(bout.ready, "timings")
    return {name: _number(told, name) for name in ("import", "load", "first")}
