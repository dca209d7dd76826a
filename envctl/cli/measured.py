"""What was said to `envctl compare` or `envctl bench`, as one value."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any, cast, get_args

from envctl.cli.versions_said import SHARED, versions
from envctl.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from envctl.bench.document import Kind
    from envctl.workflow.ask import Ask, Precision
    from envctl.workflow.cells import Engine, Matrix
    from envctl.workflow.comparison import Comparison


# options that every cell's command repeats where they are not the default
REPEATED = (
    "pin", "python", "cuda", "cudnn", "gpu", "runner", "input", "seed", "samples", "shape", "via", "opset", "layout",
    "calibration", "preprocess", "dataset", "metric", "reference", "atol", "cosine", "top1", "memory", "timeout",
    "rounds", "seconds", "throughput", "allow_fallback",
)  # fmt: skip


def comparison(kind: Kind, given: dict[str, Any], defaults: dict[str, Any]) -> Comparison:
    """What was asked for, from the command's parameters by name; `defaults` are those of its signature."""
    from envctl.workflow.comparison import Comparison

    base = _base(given)
    return Comparison(
        kind=kind,
        base=base,
        matrix=_matrix(given),
        command=shlex.join(["envctl", *sys.argv[1:]]),
        options=_repeated(given, defaults),
        rounds=given["rounds"],
        seconds=given["seconds"],
        throughput=given["throughput"],
        output=given["output"],
        resume=given["resume"],
    )


def _base(given: dict[str, Any]) -> Ask:
    """The options that all cells share; the engine and its pins come with each cell."""
    from envctl.cli.asked import plain, read
    from envctl.workflow.ask import Ask

    shared = plain(given) | {"threads": 0}
    ask = Ask(task="verify", engine="", pins=(), gpu=given["gpu"], **given["where"], **shared)
    return read(ask, given | {"precision": None})


def _matrix(given: dict[str, Any]) -> Matrix:
    from envctl.workflow.ask import Precision
    from envctl.workflow.cells import Matrix

    precisions = [word.strip() for word in given["precision"].split(",")] if given["precision"] else []
    for word in precisions:
        if word not in get_args(Precision):
            raise BadInput(f"--precision {word!r} is unknown", do=["one of fp32, fp16, bf16, int8"])
    return Matrix(
        engines=(*_engines(given["pinned"], given["pin"]), *_locked(given["lock"])),
        precisions=tuple(cast("list[Precision]", precisions)) or (None,),
        batches=numbers("--batch", given["batch"], 1),
        threads=numbers("--threads", given["threads"], 0) or (0,),
        colocate=given["colocate"],
    )


def numbers(option: str, text: str, least: int) -> tuple[int, ...]:
    """The whole numbers of a list such as `1,8`; none of an empty text."""
    words = [word.strip() for word in text.split(",")] if text else []
    if not all(word.isascii() and word.isdigit() and least <= int(word) <= 1 << 20 for word in words):
        raise BadInput(
            f"{option} {text!r} is no list of whole numbers from {least} on", do=[f"for example {option} 1,8"]
        )
    return tuple(int(word) for word in words)


def _engines(pinned: dict[str, str | None], general: list[str]) -> list[Engine]:
    """Each engine at each version, with the pins that all of them share."""
    from envctl.cli.pins import ENGINES, read_pins
    from envctl.workflow.cells import Engine

    shared = {f"--{name}": pinned[f"--{name}"] for name in SHARED}
    found = []
    for option, text in pinned.items():
        if text is None or option not in ENGINES:
            continue
        for said in versions(text):
            pins = read_pins({option: said or None, **shared}, general)
            found.append(Engine(name=ENGINES[option], said=said, pins=pins))
    return found


def _locked(paths: list[Path]) -> list[Engine]:
    """The engine of each lock file; its target for this machine and runner is chosen when the cell is prepared."""
    from envctl.lockfile import load
    from envctl.workflow.cells import Engine

    files = [(path, load(path)) for path in paths]
    return [Engine(name=file.request.engine, said=str(path), pins=(), lock=file) for path, file in files]


def _repeated(given: dict[str, Any], defaults: dict[str, Any]) -> tuple[str, ...]:
    """The options that differ from their defaults, as words."""
    known = given | {name: given["pinned"][f"--{name}"] for name in SHARED}
    words: list[str] = []
    for name in REPEATED:
        value, option = known[name], f"--{name.replace('_', '-')}"
        if value is None or value == defaults.get(name):
            continue
        if isinstance(value, bool):
            words.append(option if value else f"--no-{name.replace('_', '-')}")
        else:
            words += [word for each in (value if isinstance(value, list) else [value]) for word in (option, str(each))]
    return tuple(words)
