"""The document of a comparison: everything that was measured, as one value, to JSON and back.

Times are seconds, sizes bytes. What is not known is None, with the reason beside it: `because` of the same part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FORMAT = 1
Kind = Literal["compare", "bench"]
CellStatus = Literal["passed", "failed", "refused", "error", "timeout", "killed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Because:
    """One line of a reason, and where it comes from."""

    text: str
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why a cell did not pass: what, because, do, as errors have it."""

    what: str
    because: tuple[Because, ...] = ()
    do: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorShape:
    """An input of the model; an open size is None, and so is a shape that the file does not tell."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """The model that every cell ran, or a form of it."""

    path: str
    digest: str
    format: str
    bytes: int
    inputs: tuple[TensorShape, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """The machine; `governor` and `gpu` are empty where it has none or does not say."""

    cpu: str | None
    cores: int | None
    memory: int | None
    os: str | None
    kernel: str | None = None
    gpu: tuple[str, ...] = ()
    driver: str | None = None
    governor: str | None = None
    runner: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What was asked of all cells. A precision of None: the model's own; threads of 0: the engine's own choice."""

    rounds: int
    seconds: float
    seed: int
    samples: int
    batch: tuple[int, ...]
    threads: tuple[int, ...]
    precision: tuple[str | None, ...]
    colocate: int = 1
    cv_limit: float = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """The engine that said what is right."""

    engine: str
    version: str
    lock: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """What else went on: the load average before, the share of all CPUs that other processes (on a virtual machine also
    other guests: `stolen`) took while cells were measured, the clock in MHz (least, most)."""

    load_before: float | None
    foreign_cpu: float | None
    stolen: float | None = None
    foreign_gpu: float | None = None
    frequency: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a cell was asked for; a precision of None: the model's own; `version` as it was said, "" for any."""

    precision: str | None
    device: str
    version: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What ran, read back from the engine; `execution` is its own word for the type that it computed in."""

    precision: str
    device: str
    execution: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Heat:
    """The largest errors of an output that failed, in a grid: over its samples and places, row by row."""

    rows: int
    cols: int
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputError:
    """How one output differs from the reference's, in the output's own units; `scale` is its largest value."""

    name: str
    shape: tuple[int, ...]
    scale: float
    max_abs: float
    p999: float
    cosine: float
    top1: float | None
    fails: tuple[str, ...] = ()
    heat: Heat | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CellVerdict:
    """The verdict of `envctl run verify` with the limits that it was judged by."""

    passed: bool
    status: str
    reasons: tuple[str, ...]
    tolerance: dict[str, float | None]
    outputs: tuple[OutputError, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskMetric:
    """A task's metric on labelled samples: the reference's, the target's, and the drop (reference - target) with the
    ends of its 95 % interval, how that was found, and on which output."""

    metric: str
    samples: int
    reference: float
    target: float
    drop: float
    low: float
    high: float
    method: str
    output: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """Starting up: importing the engine, loading the model (its files in the page cache), the first inference."""

    import_s: float
    load_s: float
    first_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Inferences after the warm-up. `samples` are at most 500 of `count`, evenly taken; `rounds` is the median of each
    round, `cv` the coefficient of variation of the last `steady` of those, which the other figures are made of;
    `warmup` is how many inferences came first; `dropped` those left out at the beginning of later rounds."""

    samples: tuple[float, ...]
    count: int
    min: float
    median: float
    p90: float
    p99: float
    mean: float
    cv: float
    rounds: tuple[float, ...]
    steady: int
    warmup: int
    dropped: int
    stable: bool
    because: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What was tried in the search for the best throughput; None: it did not work, and why."""

    batch: int
    concurrency: int
    per_s: float | None
    because: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """Samples a second at the best point; `because` says why there is none, or why nothing more was tried."""

    per_s: float | None
    batch: int | None
    concurrency: int | None
    curve: tuple[Point, ...] = ()
    because: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Resident bytes of one process: the most until the last round of latencies, and what it was then."""

    peak: int | None
    steady: int | None
    gpu: int | None = None
    because: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Energy:
    """Joules for one inference of the cell's batch, of the whole package: idle power is in it."""

    joule: float | None
    source: str | None
    because: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Bytes on disk: what the engine loads, and its environment."""

    artifact: int | None
    environment: int | None
    because: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One component of the stack that ran."""

    component: str
    version: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One engine at one setting. `complete` is false while its figures may still change: --resume does it again."""

    id: str
    engine: str
    title: str
    version: str | None
    asked: Asked
    batch: int
    threads: int
    status: CellStatus
    command: str
    colocate: int = 1
    complete: bool = True
    ran: Ran | None = None
    reason: Trouble | None = None
    verdict: CellVerdict | None = None
    task: TaskMetric | None = None
    load: Load | None = None
    latency: Latency | None = None
    throughput: Throughput | None = None
    memory: Memory | None = None
    energy: Energy | None = None
    size: Size | None = None
    stack: tuple[Part, ...] = ()
    lock: str | None = None
    idle_cpu: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A whole comparison."""

    kind: Kind
    envctl: str
    command: str
    model: Model
    host: Host
    settings: Settings
    noise: Noise
    reference: Reference | None = None
    cells: tuple[Cell, ...] = field(default_factory=tuple)
    format: int = FORMAT
