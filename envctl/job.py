"""The job protocol: a folder with `job.json` and arrays in; `result.json`, arrays and artifacts out.

<folder>/job.json        what the worker shall do; it names no path of this machine
<folder>/go              the name of the awaited source, for a job that starts before that is made
<folder>/inputs/N.npy    one array an input, shape [samples, *shape of the model's input]
<folder>/result.json     what it did; absent when it died
<folder>/outputs/N.npy   one array an output, shape [samples, *shape of the output]
<folder>/artifact/       what a conversion made
<folder>/worker.log      everything the engine printed
<folder>/turn, said      of a job that measures: pipes, a line of JSON each way for every turn (worker/measure.py)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args

from envctl.tree import canonical_json

PROTOCOL = 1
MOST_LACKING, MOST_WORDS = 5000, 500  # of what a worker says: it has met an untrusted model
Step = Literal["convert", "infer", "conform", "measure", "shapes", "ask"]
# "ok", or the kind of failure; the last three are seen from outside, as the worker could not speak any more
Status = Literal[
    "ok", "engine-missing", "invalid-model", "unsupported", "no-device", "out-of-memory", "engine-error",
    "disk-full", "killed", "timeout", "bad-result",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Caps on one worker: bytes of memory, seconds of wall time, processes and threads, bytes of a file."""

    memory: int
    seconds: int
    processes: int = 512
    file_bytes: int = 16 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One step for a worker. `source` is the model file (or artifact) on this host, mounted or read in place.

    With `after`, the inputs are still being made: the worker imports its engine meanwhile, and waits for `<folder>/go`.
    Where `source` is a folder, a file in it is still being made too, and `go` holds its name.
    """

    folder: Path
    step: Step
    adapter: str
    source: Path
    companions: tuple[Path, ...]
    limits: Limits
    options: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    after: bool = False

    def write(self) -> None:
        """Write `job.json`; arrays are written by whoever has them."""
        data = {
            "protocol": PROTOCOL,
            "step": self.step,
            "adapter": self.adapter,
            "source": self.source.name,
            "options": self.options,
            "after": self.after,
            "inputs": [{"name": name, "file": f"inputs/{i}.npy"} for i, name in enumerate(self.inputs)],
            "limits": {
                "memory": self.limits.memory,
                "seconds": self.limits.seconds,
                "processes": self.limits.processes,
                "file_bytes": self.limits.file_bytes,
            },
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "job.json").write_text(canonical_json(data), encoding="utf-8")


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """One output tensor: where its array lies, and the element type the engine gave (arrays may be widened)."""

    name: str
    dtype: str
    file: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Lacking:
    """An operator that an engine lacks: its node, the attribute (`name=value`) and the framework's layer where they are
    known, and the engine's own words. Of a worker any of them may be ""."""

    op: str = ""
    domain: str = ""
    node: str = ""
    attribute: str = ""
    layer: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came of a job. `read_back` is what the engine says of itself: precision, device, providers; `lacking` is
    what it has no way for, where it failed for that."""

    status: Status
    message: str
    folder: Path
    artifacts: tuple[Path, ...] = ()
    outputs: tuple[Output, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    read_back: dict[str, str] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0
    sandbox: dict[str, str] = field(default_factory=dict)
    lacking: tuple[Lacking, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the step was done."""
        return self.status == "ok"


def read_result(folder: Path) -> Result | None:
    """The worker's own account, or None when it left none; what does not fit the protocol is `bad-result`."""
    path = folder / "result.json"
    if not path.is_file():
        return None
    try:
        return _result(folder, cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8"))))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError, RuntimeError) as error:
        # whatever a hostile answer can provoke: too deep, infinite, another shape, links in a circle
        return Result(status="bad-result", message=f"result.json cannot be read: {error}", folder=folder)


def _result(folder: Path, data: dict[str, Any]) -> Result:
    if data["status"] not in get_args(Status):
        raise ValueError(f"unknown status {data['status']!r}")
    outputs = tuple(
        Output(name=str(o["name"]), dtype=str(o["dtype"]), file=_inside(folder, o["file"])) for o in data["outputs"]
    )
    return Result(
        status=data["status"],
        message=str(data["message"]),
        folder=folder,
        artifacts=tuple(_inside(folder, name) for name in data["artifacts"]),
        outputs=outputs,
        versions={str(k): str(v) for k, v in data["versions"].items()},
        read_back={str(k): str(v) for k, v in data["read_back"].items()},
        timings={str(k): float(v) for k, v in data["timings"].items()},
        peak_memory=int(data["peak_memory"]),
        sandbox={str(k): str(v) for k, v in data["sandbox"].items()},
        lacking=tuple(_lacking(each) for each in data.get("lacking", ())[:MOST_LACKING]),
    )


def _lacking(data: dict[str, Any]) -> Lacking:
    names = (each.name for each in fields(Lacking))
    return Lacking(**{name: str(data.get(name, ""))[:MOST_WORDS] for name in names})


def _inside(folder: Path, name: str) -> Path:
    """A path the worker named, which must lie in its own folder: the worker has met an untrusted model."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} lies outside the job folder")
    return path
