"""Documents as `envctl compare` writes them, for tests of what is shown of them: every status, seeded, no clock."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from envctl.bench.document import Document
from envctl.bench.reading import from_data

ROUNDS = 5
KEPT = 120


@cache
def document() -> Document:
    """The sample as the program reads it."""
    return from_data(sample())


def sample() -> dict[str, Any]:
    """A comparison with passing, failing, refused, dying and hanging cells, two batches, and an unstable one."""
    cells = [
        passed("openvino", "OpenVINO", "2026.4.1", "fp32", 1, 1.9e-3, 1.4e-7, 1, peak=212, per_s=1010),
        passed("openvino", "OpenVINO", "2026.4.1", "fp16", 1, 2.0e-3, 3.1e-4, 2, peak=198, per_s=985),
        failed("openvino", "OpenVINO", "2026.4.1", "int8", 1, 0.71e-3, 0.21, 3, peak=180, per_s=2760),
        passed("onnxruntime", "ONNX Runtime", "1.31.0", "fp32", 1, 2.6e-3, 2.1e-7, 4, peak=151, per_s=720),
        passed("onnxruntime", "ONNX Runtime", "1.31.0", "int8", 1, 1.2e-3, 9.0e-3, 5, peak=139, per_s=1480),
        passed("ncnn", "ncnn", "1.0.20260114", "fp32", 1, 3.4e-3, 6.0e-7, 6, peak=88, per_s=295),
        passed("litert", "LiteRT", "2.1.0", "fp32", 1, 4.8e-3, 0.0, 7, peak=121, per_s=210, unstable=True),
        passed("tensorflow", "TensorFlow", "2.20.0", "fp32", 1, 9.9e-3, 3.0e-7, 8, peak=702, per_s=140),
        passed("openvino", "OpenVINO", "2026.4.1", "fp32", 8, 12.1e-3, 1.5e-7, 9, peak=260, per_s=1101),
        passed("onnxruntime", "ONNX Runtime", "1.31.0", "fp32", 8, 18.3e-3, 2.2e-7, 10, peak=188, per_s=760),
        ended("mxnet", "MXNet", "1.9.1", "error", "MXNet 1.9.1 could not convert model.onnx",
              "Operator LayerNormalization is not implemented", "try another version or engine"),
        ended("ncnn", "ncnn", "1.0.20240410", "killed", "the worker died in round 3", "signal 11 (SIGSEGV)",
              "read worker.log"),
        ended("litert", "LiteRT", "1.4.0", "timeout", "no answer in round 3 for 60 s", "the worker hung", "--timeout"),
        ended("tensorrt-rtx", "TensorRT for RTX", "1.7.0", "refused", "built, not executed: no supported GPU",
              "this host has no GPU of compute capability >= 7.5", "run it on a machine with one"),
    ]  # fmt: skip
    return {
        "format": 1,
        "kind": "compare",
        "envctl": "0.1.0",
        "command": "envctl compare model.onnx --openvino 2026.4 --ort 1.31 --ncnn --litert --tf 2.20 --batch 1,8",
        "model": {
            "path": "model.onnx",
            "digest": "9f2b" * 16,
            "format": "onnx",
            "bytes": 13_960_412,
            "inputs": [{"name": "input", "dtype": "float32", "shape": [1, 3, 224, 224]}],
        },
        "host": {
            "cpu": "AMD EPYC 7B13",
            "cores": 2,
            "memory": 25_769_803_776,
            "os": "Debian GNU/Linux 12",
            "gpu": [],
            "governor": None,
        },
        "settings": {
            "rounds": ROUNDS,
            "seconds": 0.5,
            "seed": 0,
            "samples": 16,
            "batch": [1, 8],
            "threads": [1],
            "precision": ["fp32", "fp16", "int8"],
            "cv_limit": 0.05,
        },
        "reference": {"engine": "onnxruntime", "version": "1.31.0", "lock": "77aa" * 16},
        "noise": {
            "load_before": 0.12,
            "foreign_cpu": 0.034,
            "stolen": 0.001,
            "frequency": None,
            "notes": ["the CPU's frequency cannot be read on this machine"],
        },
        "cells": cells,
    }


def passed(
    engine: str, title: str, version: str, precision: str, batch: int, median: float, error: float, seed: int,
    *, peak: int, per_s: float, unstable: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """A measured cell; times are drawn from a seed around `median` seconds."""
    draw = random.Random(seed)
    spread = 0.11 if unstable else 0.02
    samples = [median * (1 + abs(draw.gauss(0, spread)) + (draw.random() < 0.03) * 0.4) for _ in range(KEPT)]
    ordered = sorted(samples)
    cell = _cell(engine, title, version, precision, batch)
    return cell | {
        "status": "passed",
        "verdict": {
            "passed": True,
            "status": "passed",
            "reasons": [],
            "tolerance": _tolerance(precision),
            "outputs": [_output(error, None)],
        },
        "load": {"import_s": 0.05 + 0.03 * seed, "load_s": 0.02 * seed},
        "latency": {
            "samples": samples,
            "count": 2000,
            "steady": ROUNDS,
            "dropped": 3,
            "mean": sum(samples) / KEPT,
            "because": "the rounds did not come to agree" if unstable else "",
            "min": ordered[0],
            "median": ordered[KEPT // 2],
            "p90": ordered[KEPT * 9 // 10],
            "p99": ordered[KEPT * 99 // 100],
            "cv": 0.083 if unstable else 0.012,
            "rounds": [median * (1 + draw.gauss(0, spread / 3)) for _ in range(ROUNDS)],
            "warmup": 6 + seed,
            "stable": not unstable,
        },
        "throughput": {
            "per_s": per_s,
            "batch": batch * 4,
            "concurrency": 2,
            "curve": [{"batch": batch, "concurrency": n, "per_s": per_s * (0.6, 1.0)[n - 1]} for n in (1, 2)],
        },
        "memory": {"peak": peak << 20, "steady": peak * 3 // 4 << 20, "gpu": None},
        "size": {"artifact": 13_900_000 // (1 if precision == "fp32" else 2), "environment": (seed * 37 + 90) << 20},
    }


def failed(*what: Any, **more: Any) -> dict[str, Any]:
    """A measured cell whose answers are wrong, with the map of where."""
    cell = passed(*what, **more)
    error = what[6]
    draw = random.Random(3)
    rows, cols = 12, 32
    values = [error * draw.random() * (0.15 + (row in (4, 5)) * (0.85)) for row in range(rows) for _ in range(cols)]
    values[4 * cols + 17] = error
    heat = {"rows": rows, "cols": cols, "values": values}
    outputs = [_output(error, heat), _output(error / 900, None) | {"name": "features", "shape": [1, 512]}]
    return cell | {
        "status": "failed",
        "verdict": {
            "passed": False,
            "status": "failed",
            "reasons": [],
            "tolerance": _tolerance("int8"),
            "outputs": outputs,
        },
        "reason": {
            "what": "output: worst cosine 0.713000 < 0.85",
            "because": [{"text": "top-1 agreement 0.8125 < 0.98", "source": "verify"}],
            "do": ["calibrate on real samples: --calibration FOLDER"],
        },
    }


def ended(engine: str, title: str, version: str, status: str, what: str, because: str, do: str) -> dict[str, Any]:
    """A cell that has no figures, and why."""
    cell = _cell(engine, title, version, "fp32", 1)
    reason = {"what": what, "because": [{"text": because, "source": "worker"}], "do": [do]}
    return cell | {"status": status, "reason": reason}


def _cell(engine: str, title: str, version: str, precision: str, batch: int) -> dict[str, Any]:
    name = f"{engine}-{version}-{precision}-b{batch}-t1"
    return {
        "id": name,
        "engine": engine,
        "title": title,
        "version": version,
        "asked": {"precision": precision, "device": "cpu"},
        "ran": {"precision": precision, "device": "cpu", "execution": "CPU"},
        "batch": batch,
        "threads": 1,
        "colocate": 1,
        "status": "passed",
        "reason": None,
        "verdict": None,
        "load": None,
        "latency": None,
        "throughput": None,
        "memory": None,
        "energy": {"joule": None, "source": None, "because": "no RAPL counter is readable"},
        "size": None,
        "stack": [
            {"component": engine, "version": version, "source": "https://example.invalid/releases"},
            {"component": "python", "version": "3.11.7", "source": "images/" + engine + ".toml"},
            {"component": "glibc", "version": "2.36", "source": "host"},
        ],
        "lock": f"{abs(hash_of(name)):064x}"[-64:],
        "command": f"envctl bench model.onnx --{engine} {version} --precision {precision} --batch {batch} --threads 1",
    }


def hash_of(name: str) -> int:
    """A number that stands for a name: the same in every process."""
    return random.Random(name).getrandbits(256)


def _tolerance(precision: str) -> dict[str, Any]:
    loose = precision == "int8"
    return {
        "max_abs": None if loose else 1e-4 if precision == "fp32" else 2e-2,
        "p999_abs": None if loose else 2e-5 if precision == "fp32" else 1.5e-2,
        "cosine": 0.85 if loose else 0.99999,
        "top1": 0.98 if loose else 1.0,
        "dense_top1": 0.98 if loose else 1.0,
    }


def _output(error: float, heat: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "name": "output",
        "shape": [1, 1000],
        "scale": 18.4,
        "max_abs": error * 18.4,
        "p999": error * 18.4 / 2,
        "cosine": 0.713 if heat else 0.999999,
        "top1": 0.8125 if heat else 1.0,
        "heat": heat,
    }
