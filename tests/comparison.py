"""A document of a comparison with every kind of cell in it, made of numbers: tests/golden/compare.json.

Renew it with: python -m tests.comparison
"""

from __future__ import annotations

import math
import random
from pathlib import Path

from envctl.bench.document import (
    Asked,
    Because,
    Cell,
    CellVerdict,
    Document,
    Energy,
    Heat,
    Host,
    Latency,
    Load,
    Memory,
    Model,
    Noise,
    OutputError,
    Part,
    Point,
    Ran,
    Reference,
    Settings,
    Size,
    TensorShape,
    Throughput,
    Trouble,
)  # fmt: skip
from envctl.bench.reading import as_data
from envctl.tree import canonical_json

GOLDEN = Path(__file__).parent / "golden/compare.json"
TOLERANCE: dict[str, float | None] = {
    "max_abs": 1e-4, "p999_abs": 2e-5, "cosine": 0.99999, "top1": 1.0, "dense_top1": 1.0,
}  # fmt: skip
SOURCE = "docs.example/engine/system-requirements"


def sample() -> Document:
    """Nine cells: passed, failed with heat maps, refused, built only, error, timeout, killed, unstable."""
    cells = (
        _measured("openvino", "OpenVINO", "2026.4.1", 1, 0.00212, 0.01),
        _measured("openvino", "OpenVINO", "2026.4.1", 8, 0.0141, 0.012),
        _measured("openvino", "OpenVINO", "2024.6.0", 1, 0.00241, 0.013),
        _measured("onnxruntime", "ONNX Runtime", "1.31.0", 1, 0.00263, 0.02),
        _measured("ncnn", "ncnn", "1.0.20260526", 1, 0.00455, 0.14, stable=False),
        _failed(_measured("litert", "LiteRT", "2.1.3", 1, 0.00391, 0.02)),
        _ended("tensorrt-rtx", "TensorRT for RTX", "1.7.1", "refused", "built, not executed: no supported GPU"),
        _ended("mxnet", "Apache MXNet", "1.9.1", "error", "Apache MXNet 1.9.1 could not convert model.onnx"),
        _ended("tensorflow", "TensorFlow", "2.20.0", "timeout", "no answer within 300 s in round 3"),
        _ended("onnxruntime", "ONNX Runtime", "1.17.3", "killed", "died by SIGSEGV and left no result (round 2)"),
        _ended("openvino", "OpenVINO", None, "refused", "no stack for OpenVINO 2019.1 on this host"),
    )
    return Document(
        kind="compare",
        envctl="0.1.0",
        command="envctl compare model.onnx --openvino 2026.4,2024.6 --ort 1.31,1.17 --litert --batch 1,8 --threads 1",
        model=_model(),
        host=_host(),
        settings=Settings(
            rounds=5, seconds=0.5, seed=0, samples=16, batch=(1, 8), threads=(1,), precision=(None,), colocate=1
        ),
        noise=Noise(
            load_before=0.42, foreign_cpu=0.034, stolen=0.0, frequency=(2900.0, 3100.0),
            notes=("no GPU was used: its other work was not looked at",),
        ),
        reference=Reference(engine="onnxruntime", version="1.31.0", lock="5e" * 32),
        cells=cells,
    )  # fmt: skip


def _model() -> Model:
    inputs = (TensorShape(name="image", dtype="float32", shape=(None, 3, 32, 32)),)
    return Model(path="model.onnx", digest="ab" * 32, format="onnx", bytes=1_234_567, inputs=inputs)


def _host() -> Host:
    return Host(
        cpu="AMD EPYC 9B14", cores=2, memory=24 << 30, os="debian 12", kernel="6.1.0", gpu=(), governor=None,
        runner="local",
    )  # fmt: skip


def _measured(
    engine: str, title: str, version: str, batch: int, median: float, cv: float, *, stable: bool = True
) -> Cell:
    draw = random.Random(f"{engine} {version} {batch}")
    samples = tuple(round(median * math.exp(draw.gauss(0.01, 0.02 + cv)), 9) for _ in range(200))
    ordered = sorted(samples)
    middle = ordered[100]
    latency = Latency(
        samples=samples, count=1200, min=ordered[0], median=middle, p90=ordered[180], p99=ordered[197],
        mean=sum(samples) / 200, cv=cv, rounds=tuple(round(middle * (1 + cv * k / 2), 9) for k in (-2, -1, 0, 1, 2)),
        steady=5, warmup=12, dropped=9, stable=stable,
        because="" if stable else "its rounds vary by 14 % after 15 of them",
    )  # fmt: skip
    curve = tuple(
        Point(batch=batch, concurrency=c, per_s=round(batch / middle * gain, 3))
        for c, gain in ((1, 1.0), (2, 1.7), (4, 1.68))
    )
    refused = Point(batch=2 * batch, concurrency=2, per_s=None, because="the engine refused this batch")
    return Cell(
        id=f"{engine}-{version}-fp32-b{batch}-t1", engine=engine, title=title, version=version,
        asked=Asked(precision=None, device="cpu"), ran=Ran(precision="fp32", device="CPU", execution="f32"),
        batch=batch, threads=1, status="passed", verdict=_verdict(), latency=latency,
        load=Load(import_s=0.21, load_s=0.05, first_s=3 * median),
        throughput=Throughput(per_s=curve[1].per_s, batch=batch, concurrency=2, curve=(*curve, refused)),
        memory=Memory(peak=190 << 20, steady=170 << 20, because="gpu: none is used"),
        energy=Energy(joule=None, source=None, because="no RAPL counter readable"),
        size=Size(artifact=1_234_567, environment=312 << 20),
        stack=(Part(component=engine, version=version, source=SOURCE), Part(component="python", version="3.11",
               source="CPythons of the local runner")),
        lock="cd" * 32, idle_cpu=0.0004,
        command=f"envctl bench model.onnx --{engine} {version} --batch {batch} --threads 1",
    )  # fmt: skip


def _verdict() -> CellVerdict:
    output = OutputError(
        name="logits", shape=(1, 10), scale=12.5, max_abs=3.1e-6, p999=2.2e-6, cosine=0.9999999, top1=1.0
    )
    return CellVerdict(passed=True, status="passed", reasons=(), tolerance=dict(TOLERANCE), outputs=(output,))


def _failed(cell: Cell) -> Cell:
    from dataclasses import replace

    values = tuple(round(abs(math.sin(row) * math.cos(col)) * 0.9, 6) for row in range(4) for col in range(10))
    fails = ("max abs error 9.00e-01 > 0.0001 x scale 12.5", "worst cosine 0.912345 < 0.99999")
    bad = OutputError(
        name="logits", shape=(1, 10), scale=12.5, max_abs=0.9, p999=0.88, cosine=0.912345, top1=0.75, fails=fails,
        heat=Heat(rows=4, cols=10, values=values),
    )  # fmt: skip
    worse = OutputError(
        name="mask", shape=(1, 4, 4), scale=1.0, max_abs=float("inf"), p999=float("inf"), cosine=0.0, top1=None,
        fails=("the layout changed from [1, 4, 4] to [4, 4, 1]",),
    )  # fmt: skip
    reasons = (f"logits: {'; '.join(fails)}", f"mask: {worse.fails[0]}")
    verdict = CellVerdict(
        passed=False, status="failed", reasons=reasons, tolerance=dict(TOLERANCE), outputs=(bad, worse)
    )
    trouble = Trouble(what=reasons[0], do=("envctl run --litert 2.1.3 verify model.onnx",))
    return replace(cell, status="failed", verdict=verdict, reason=trouble)


def _ended(engine: str, title: str, version: str | None, status: str, what: str) -> Cell:
    trouble = Trouble(what=what, because=(Because(text="said by a test", source="tests"),), do=("use another engine",))
    return Cell(
        id=f"{engine}-{version or '2019.1'}-fp32-b1-t1", engine=engine, title=title, version=version,
        asked=Asked(precision=None, device="cpu"), batch=1, threads=1, status=status,  # type: ignore[arg-type]
        reason=trouble, command=f"envctl bench model.onnx --{engine} {version} --batch 1 --threads 1",
    )  # fmt: skip


if __name__ == "__main__":
    GOLDEN.write_text(canonical_json(as_data(sample())), encoding="utf-8")
