"""Which source format reaches which engine: `python3 benchmarks/engines.py MODELS [--seconds N] [--only REGEX]`.

Runs `envctl run … verify` once a cell, one after the other, each in its caps, and keeps what came of it in
benchmarks/records/engines.json; a cell that is there is not run again. Without MODELS only docs/engines.md is written.
MODELS is a folder in which `tests/models/` makers have put their networks: MODELS/NAME/FILE.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from string import ascii_lowercase as LETTERS
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORD, PAGE = ROOT / "benchmarks" / "records" / "engines.json", ROOT / "docs" / "engines.md"
FORMATS = {
    "onnx": "model.onnx", "saved-model": "saved_model", "graph-def": "frozen.pb", "keras": "model.keras",
    "keras-h5": "model.h5", "tflite": "model.tflite", "torchscript": "traced.pt", "torch-export": "exported.pt2",
}  # fmt: skip
ENGINES = (
    "--ort 1.31", "--openvino 2026.4", "--ncnn 1.0.20261020", "--trt-rtx 1.7", "--litert 2.3", "--mxnet 1.9.1",
    "--ort 1.17", "--openvino 2024.6", "--openvino 2023.3", "--ort 1.20", "--tf 2.15", "--tf 2.20", "--torch 2.13",
    "--trt 10", "--ort-gpu 1.31", "--openvino 2025.4", "--ort 1.15", "--trt-rtx 1.4", "--ort-openvino 1.24",
    "--ort 1.31 --via tensorflow==2.12", "--ort 1.31 --via tensorflow==2.17", "--ort 1.31 --via tensorflow==2.20",
    "--openvino 2026.4 --via onnx", "--tf 2.12", "--tf 2.17",
)  # fmt: skip
WORDS = {0: "passed", 1: "failed", 2: "refused", 3: "refused", 4: "cannot run here", 5: "failed"}
STATES = ("passed", "built", "refused", "cannot run here", "failed")
SHOWN = ("passed", "built")  # cells that show the way they went
NOT_RUN = "built, not executed: no supported GPU"
SECONDS, MEMORY = 400, "6g"
Record = dict[str, dict[str, object]]


def cells(models: Path, only: list[str]) -> list[tuple[str, str, str]]:
    """(model, format, engine) of everything that there is to try, in ENGINES' order."""
    found = [
        (folder.name, form, engine)
        for engine in ENGINES
        for folder in sorted(models.iterdir())
        for form, name in FORMATS.items()
        if (folder / name).exists()
    ]
    return [cell for cell in found if not only or any(re.search(each, " | ".join(cell)) for each in only)]


def tried(models: Path, cell: tuple[str, str, str], more: list[str], torch: str) -> dict[str, object]:
    """What one run came to."""
    model, form, engine = cell
    task = "convert" if engine.startswith("--trt") else "verify"
    engine, _, via = engine.partition(" --via ")
    command = [sys.executable, "-m", "envctl", "run", *engine.split(), "--runner", "local", *more]
    command += [task, str(models / model / FORMATS[form]), "--json", "--memory", MEMORY, "--timeout", str(SECONDS)]
    inputs = models / model / "inputs.npz"
    command += ["--input", str(inputs)] if inputs.is_file() else ["--samples", "4"]
    command += [*(["-o", str(models / "out"), "--force"] if task == "convert" else [])]
    command += ["--via", via] if via else []
    command += ["--via", f"torch=={torch}"] if torch and form.startswith("torch") and "--torch" not in engine else []
    began = time.monotonic()
    done = subprocess.run(command, cwd=models, capture_output=True, text=True, check=False)
    said = {"code": done.returncode, "seconds": round(time.monotonic() - began)}
    return said | read(done.returncode, done.stdout, done.stderr)


def read(code: int, out: str, err: str) -> dict[str, object]:
    """Status, way, versions and the reason, of a run's JSON or its last words."""
    try:
        told = json.loads(out)
    except ValueError:
        told = {}
    lines = [line.strip() for line in err.splitlines() if line.strip() and not line.startswith("…")]
    error = told.get("error") or {}
    why = error.get("what") or told.get("note") or (lines[0] if lines else "")
    because = [each.get("text", "") for each in error.get("because", ())][:2] or lines[1:3]
    route, target = told.get("route") or {}, told.get("target") or {}
    stack = {name: it["version"] for name, it in target.get("stack", {}).items()}
    source = {name: it["version"] for name, it in ((route.get("source") or {}).get("stack") or {}).items()}
    status = "built" if told.get("status") == "built" else WORDS.get(code, f"exit code {code}")
    return {
        "status": status,
        "why": " | ".join([str(why), *because])[:400] if code else "",
        "way": way(route, source),
        "version": stack.get(str(target.get("engine")), ""),
        "worst": max((it["max_abs"] for it in (told.get("verdict") or {}).get("differences", ())), default=None),
    }  # fmt: skip


def way(route: dict[str, Any], source: dict[str, str]) -> str:
    """The format that the model passed, and in what."""
    engine = (route.get("source") or {}).get("engine", "")
    legacy = f" with tf-keras {source['tf-keras']}" if "tf-keras" in source else ""
    return f"{route['to']} in {engine} {source.get(engine, '')}{legacy}" if source else ""


def main() -> None:
    """Try what is not in the record yet, for as long as there is time, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="?")
    parser.add_argument("--seconds", type=int, default=1500)
    parser.add_argument("--only", action="append", default=[], help="a regular expression of cells; several are any")
    parser.add_argument("--index", default="")
    parser.add_argument("--torch", default="", help="the torch that torch's models pass")
    asked = parser.parse_args()
    record = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    until = time.monotonic() + asked.seconds
    more = ["--index", asked.index] if asked.index else []
    for cell in cells(asked.models.resolve(), asked.only) if asked.models else []:
        name = " | ".join(cell)
        if name in record or time.monotonic() > until:
            continue
        record[name] = tried(asked.models.resolve(), cell, more, asked.torch)
        print(name, record[name], flush=True)
        write(record)
    write_page(record)


def write(record: Record) -> None:
    """The record, a line a cell."""
    RECORD.parent.mkdir(exist_ok=True)
    lines = (f"{json.dumps(name)}: {json.dumps(record[name])}" for name in sorted(record))
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def write_page(record: Record) -> None:
    """docs/engines.md: how many cells an engine has of each state, the ways that models went, then a table a model."""
    counts = Counter(str(each["status"]) for each in record.values())
    text = [HEAD.format(counts=", ".join(f"{n} {status}" for status, n in counts.most_common()), cells=len(record))]
    ways = {way: letter for letter, way in zip(LETTERS, sorted(ways_of(record)), strict=False)}
    text += [NOTES, *summary(record), "", "Ways, by their letters in the tables:", ""]
    text += [f"- **{letter}**: {way}" for way, letter in ways.items()]
    for model in dict.fromkeys(name.split(" | ")[0] for name in sorted(record)):
        text += table(model, {name: it for name, it in record.items() if name.startswith(f"{model} | ")}, ways)
    PAGE.write_text("\n".join(text) + "\n", encoding="utf-8")


def ways_of(record: Record) -> set[str]:
    """The formats, frameworks and their versions that models passed."""
    return {str(it["way"]) for it in record.values() if it["way"] and it["status"] in SHOWN}


def summary(record: Record) -> list[str]:
    """A row an engine: the release that it came to, and how many of its cells ended how."""
    lines = ["", "| engine | release | " + " | ".join(STATES) + " |", "| --- | --- |" + " --- |" * len(STATES)]
    for engine in ENGINES:
        rows = [it for name, it in record.items() if name.split(" | ")[2] == engine]
        releases = ", ".join(sorted({str(it["version"]) for it in rows if it["version"]}))
        counts = Counter(it["status"] for it in rows)
        told = [str(counts[state] or "") for state in STATES]
        lines += [f"| `{engine}` | {releases} | " + " | ".join(told) + " |"] if rows else []
    return lines


def table(model: str, found: Record, ways: dict[str, str]) -> list[str]:
    """A model's table: engines down, formats across; letters lead to the ways, numbers to the reasons."""
    rows = {tuple(name.split(" | ")[1:]): it for name, it in found.items()}
    forms = [form for form in FORMATS if any(form == key[0] for key in rows)]
    reasons: dict[str, int] = {}
    lines = [f"\n## {model}\n", "| engine | " + " | ".join(forms) + " |", "| --- |" + " --- |" * len(forms)]
    for engine in ENGINES:
        if any(key[1] == engine for key in rows):
            told = [cell_text(rows.get((form, engine)), reasons, ways) for form in forms]
            lines.append(f"| `{engine}` | " + " | ".join(told) + " |")
    return lines + [""] + [f"{number}. {why}" for why, number in reasons.items()]


def cell_text(found: dict[str, object] | None, reasons: dict[str, int], ways: dict[str, str]) -> str:
    """A cell: the status, the letter of the way it went, and the number of its reason."""
    if found is None:
        return ""
    why = str(found["why"]).replace("|", ";").replace("<", "&lt;")
    way = ways.get(str(found["way"]), "") if found["status"] in SHOWN else ""
    shown = str(found["status"]) + (f" **{way}**" if way else "")
    known = {NOT_RUN: ""}.get(why, why)  # what every cell that was built says, stands above
    return f"{shown} [{reasons.setdefault(known, len(reasons) + 1)}]" if known else shown


HEAD = """# Which source reaches which engine

Written by `python3 benchmarks/engines.py MODELS` from real runs (benchmarks/records/engines.json).
{cells} cells: {counts}.

`passed`: converted, run, and judged against the framework that the model comes from, on seeded inputs in float32.
`built`: an engine for a GPU, written here and not executed, as there is none. `refused`: envctl said before any
conversion that it cannot be. `cannot run here`: this machine lacks something. `failed`: a worker or a verdict said so.
All on one CPU machine without a GPU, every worker capped at 6 GB. Makers: keras_nets.py, torch_nets.py, digits.py in
tests/models; of Keras 3 where a name does not say Keras 2. A cell without a letter was read by the engine itself."""

NOTES = """
What failed, and why:

- OpenVINO and MobileNetV2's SavedModel: its TensorFlow frontend does not convert it in any release tried; `--via onnx`
  passes.
- OpenVINO 2024.6 and 2025.4 and the U-Nets' .tflite: another answer (0.23 of a scale of 1), no error. 2023.3 and
  2026.4 are right.
- OpenVINO 2023.3 and MiniLM's torch.export program: what it made of it does not run; that of the TorchScript one does.
- ncnn and InceptionV3: 1.8e-5 where others have 6e-6. It is ncnn's Winograd convolution: without it, 6.9e-6.
- LiteRT and the channels-first U-Net: TensorFlow's converter has no transposed convolution with channels first."""


if __name__ == "__main__":
    main()
