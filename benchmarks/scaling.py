"""Time of load + resolve over generated matrices of 1, 2, 5, 10 and 20 times the size: python benchmarks/scaling.py

The unit is a world of the shape of the real one: 40 engine releases over CUDA, cuDNN and Python, with ranges, lists of
ranges and exact versions. Size grows in releases (longer files) and in components (more files between engine and CUDA).
A ratio of 1.0 in the last column is linear growth from size 1.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from envctl.matrix import load
from envctl.request import Known, Pin, Request
from envctl.solver import Stack, solve
from envctl.versions import parse_pin
from tests.solver_worlds import write_matrix

UNIT, SIZES, ROUNDS = 40, (1, 2, 5, 10, 20), 5


def main() -> None:
    for kind in ("releases", "components"):
        with tempfile.TemporaryDirectory(prefix="envctl-scaling-") as folder:
            os.environ["ENVCTL_CACHE"] = folder
            first = 0.0
            for size in SIZES:
                made = Path(folder) / f"{kind}-{size}"
                write_matrix(made, world(size if kind == "releases" else 1, size if kind == "components" else 1))
                seconds = statistics.median(once(made) for _ in range(ROUNDS + 1))
                first = first or seconds
                print(f"{kind:<11} x {size:<3} {seconds * 1000:8.1f} ms   {seconds / first / size:.2f} of linear")


def once(folder: Path) -> float:
    """Seconds to load every file (from its compiled form, after the first round) and to find the newest stack."""
    began = time.perf_counter()
    matrix = load(folder)
    for name in matrix.names():
        matrix.component(name)
    pythons = Known(values=("3.12", "3.11", "3.10"), origin="generated")
    driver = Known(values=("100.0",), origin="generated")
    pin = Pin(name="engine", condition=parse_pin("engine", ">=1"), said="--pin engine>=1")
    request = Request(engine="engine", pins=(pin,), known={"python": pythons, "driver": driver})
    assert isinstance(solve(matrix, request), Stack)
    return time.perf_counter() - began


def world(releases: int, components: int) -> dict[str, dict[str, object]]:
    """An engine over `components` libraries over CUDA; every file has `releases` times UNIT releases, newest first."""
    count = releases * UNIT
    libraries = [f"library{index}" for index in range(components)]
    return {
        "engine": component("engine", count, lambda n: {name: near(n) for name in libraries} | {"python": [">=3.9"]}),
        **{name: component("component", count, lambda n: {"cuda": [*near(n), f"=={n}.0"]}) for name in libraries},
        "cuda": component("component", count, lambda n: {"driver": [f">={n / count * 150:.1f}"]}),
        "python": {"kind": "component", "releases": []},
        "driver": {"kind": "host", "releases": []},
    }


def component(kind: str, count: int, claims) -> dict[str, object]:  # type: ignore[no-untyped-def]
    return {"kind": kind, "releases": [{"version": f"{n}.0", "requires": claims(n)} for n in range(count, 0, -1)]}


def near(number: int) -> list[str]:
    return [f">={max(1, number - 2)},<={number + 1}"]


if __name__ == "__main__":
    main()
