"""`envctl debug` on planted faults: `python -m tests.debug_score MODELS FOLDER [--openvino 2026.4]` prints the table.

MODELS has the healthy models, NAME.onnx (tests.models.planted says which); FOLDER takes the faulty copies.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import onnx

from tests.conftest import run_envctl
from tests.models.planted import FAULTS, Plant


@dataclass(frozen=True, kw_only=True)
class Score:
    """What came of one fault: whether exactly the guilty node was named, in how many runs, and with how much memory."""

    model: str
    fault: str
    exact: bool
    status: str
    said: str
    guilty: str
    runs: int
    nodes: int
    memory: float
    seconds: float


def plant(source: Path, fault: Plant, target: Path) -> str:
    """Write a faulty copy; the guilty node's first output comes back."""
    model = onnx.load(str(source))
    guilty = fault(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(target))
    return guilty


def score(source: Path, name: str, fault: Plant, folder: Path, *pins: str) -> Score:
    """Plant a fault and look for it."""
    faulty = folder / f"{source.stem}-{name.replace(' ', '-').replace(',', '')}.onnx"
    guilty = plant(source, fault, faulty)
    began = time.monotonic()
    ran = run_envctl("debug", source, "--target-model", faulty, *pins, "--runner", "local", "--json")
    data = ran.json if ran.out else {}
    found = [each["output"] for each in data.get("suspects", [])]
    ratios = [each["marked"] / each["plain"] for each in data.get("memory", {}).values()]
    faulty.unlink()
    return Score(
        model=source.stem, fault=name, exact=data.get("status") == "node" and found == [guilty] and ran.code == 1,
        status=data.get("status", f"exit code {ran.code}: {ran.err[-300:]}"), said=", ".join(found), guilty=guilty,
        runs=data.get("runs", 0), nodes=data.get("nodes", 0), memory=max(ratios, default=0.0),
        seconds=time.monotonic() - began,
    )  # fmt: skip


def table(scores: list[Score]) -> str:
    """The scores as the documentation has them."""
    lines = [
        "| model (nodes) | planted fault | found | runs | peak memory | s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each in scores:
        found = "exactly" if each.exact else f"{each.status}: {each.said or 'none'} (it was {each.guilty})"
        what = f"{each.model} ({each.nodes})"
        lines.append(f"| {what} | {each.fault} | {found} | {each.runs} | {each.memory:.2f} x | {each.seconds:.0f} |")
    exact = sum(each.exact for each in scores)
    most = max(each.runs for each in scores)
    return "\n".join([*lines, "", f"{exact} of {len(scores)} exactly, in {most} runs at most"])


def main(models: str, folder: str, *pins: str) -> None:
    scores = []
    for model, name, fault in FAULTS:
        if (Path(models) / f"{model}.onnx").is_file():
            scores.append(
                score(Path(models) / f"{model}.onnx", name, fault, Path(folder), *(pins or ("--openvino", "2026.4")))
            )
            print(scores[-1], flush=True)
    print(table(scores))


if __name__ == "__main__":
    main(*sys.argv[1:])
