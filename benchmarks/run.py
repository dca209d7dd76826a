"""Ratios, each measured in one interleaved run (A B A B …), medians: python benchmarks/run.py [--rounds N]

(a) a warm `envctl run --openvino 2026.4 convert` with its verification, against by_hand.py with the same packages
(b) `envctl --help` against `python -c "import typer, rich"`
(c) a warm look-up of an environment (`envctl run … -- true`), against the same import; the network is cut off for it
(d) `envctl resolve` with all of the matrix loaded: a stack, against `python -c "import typer, rich, packaging"`
(e) the same for a conflict, with its minimal proof and its hints
(f) `envctl doctor`: all probes, checks and what runs here, against `python -c "import docker, rich, typer"`; processor
    time of all processes beside wall time
(g) `envctl inspect` of an ONNX model of 14 MB, and of a SavedModel, against `python -c "import typer"`
(h) where Docker answers: a warm `envctl run --runner docker --lock LOCK -- python -c pass` against `docker run` of the
    same base with the same options of the container
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from installed import compile_envctl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
ENGINES = ["openvino==2026.4.1", "onnxruntime==1.31.1", "numpy==2.4.6"]
ENVCTL = [str(Path(sys.executable).parent / "envctl")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    compile_envctl()
    with tempfile.TemporaryDirectory(prefix="envctl-bench-") as folder:
        imports = [sys.executable, "-c", "import typer, rich"]
        report("a  warm convert + verify / by hand", *pair(rounds, *conversion(Path(folder))))
        report("b  envctl --help / import typer, rich", *pair(rounds * 3, [*ENVCTL, "--help"], imports))
        packaging = [sys.executable, "-c", "import typer, rich, packaging"]
        report(
            "d  resolve, a stack / import typer, rich, packaging",
            *pair(rounds * 3, resolve("535.104.05", 0), packaging),
        )
        report(
            "e  resolve, a conflict with proof / the same import", *pair(rounds * 3, resolve("440.33", 3), packaging)
        )
        docker = [sys.executable, "-c", "import docker, rich, typer"]
        report("f  doctor / import docker, rich, typer", *pair(rounds * 3, doctor(), docker))
        report("f  the same, processor time", *pair(rounds * 3, doctor(), docker, processor))
        typer = [sys.executable, "-c", "import typer"]
        for name, looked in inspections(Path(folder)):
            report(f"g  inspect {name} / import typer", *pair(rounds * 3, looked, typer))
        report("c  warm look-up, no network / import typer, rich", *pair(rounds, lookup(), imports))
        if shutil.which("docker"):
            report("h  a command in a container / docker run", *pair(rounds * 3, *container(Path(folder))))


def conversion(folder: Path) -> tuple[list[str], list[str]]:
    """The two commands of (a): envctl's, and by_hand.py in a plain environment with the same packages."""
    from uv import find_uv_bin

    from tests.models import mobilenet

    model = mobilenet.make(folder / "mobilenet.onnx")
    plain = folder / "venv"
    subprocess.run([find_uv_bin(), "venv", "-q", str(plain)], check=True)
    install = [find_uv_bin(), "pip", "install", "-q", "--compile-bytecode", "--python", str(plain / "bin/python")]
    subprocess.run([*install, *ENGINES], check=True)
    ours = [*ENVCTL, "run", "--openvino", "2026.4", "--runner", "local", "convert", str(model), "-o", str(folder / "o")]
    return ours, [str(plain / "bin/python"), str(ROOT / "benchmarks/by_hand.py"), str(model), str(folder)]


def resolve(driver: str, code: int) -> list[str]:
    """A request that reaches from the engine to the driver; it must end with that exit code."""
    command = [*ENVCTL, "resolve", "--trt", "8.6", "--host", f"driver={driver} gpu=8.6 glibc=2.35 cpu=avx2"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == code
    return ["sh", "-c", f"{shlex.join(command)}; test $? -eq {code}"]


def lookup() -> list[str]:
    """A look-up in a network namespace without interfaces."""
    command = [*ENVCTL, "run", "--openvino", "2026.4", "--runner", "local", "--", "true"]
    subprocess.run(command, check=True, capture_output=True)
    return ["unshare", "--net", *([] if os.getuid() == 0 else ["--map-root-user"]), *command]


def container(folder: Path) -> tuple[list[str], list[str]]:
    """The two commands of (h)."""
    lock = str(folder / "openvino.lock")
    make = [*ENVCTL, "lock", "--openvino", "2026.4", "--target", "python=3.11,base=debian:bookworm", "-o", lock]
    subprocess.run(make, check=True, capture_output=True)
    program = ["python3.11", "-c", "pass"]
    bare = ["docker", "run", "--rm", "--init", "-i", "--network", "none", "--read-only", "--tmpfs", "/tmp"]
    bare += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "envctl-base:bookworm-py311"]
    return [*ENVCTL, "run", "--offline", "--runner", "docker", "--lock", lock, "--", *program], [*bare, *program]


def inspections(folder: Path) -> list[tuple[str, list[str]]]:
    """The two commands of (g)."""
    from tests.models import mobilenet

    large = mobilenet.make(folder / "looked-at.onnx")
    saved = ROOT / "tests/models/small/tensorflow/saved_model"
    return [(name, [*ENVCTL, "inspect", str(path)]) for name, path in (("14 MB ONNX", large), ("SavedModel", saved))]


def doctor() -> list[str]:
    """Whether something is broken here (exit code 1) does not matter."""
    return ["sh", "-c", f"{shlex.join([*ENVCTL, 'doctor'])}; test $? -le 1"]


def pair(
    rounds: int, ours: list[str], theirs: list[str], measure: Callable[[list[str]], float] | None = None
) -> tuple[list[float], list[float]]:
    """Wall seconds (or another measure) of both commands, in turns, after one unmeasured run of each."""
    measure = measure or seconds
    measure(ours), measure(theirs)
    times = [(measure(ours), measure(theirs)) for _ in range(rounds)]
    return [a for a, _ in times], [b for _, b in times]


def processor(command: list[str]) -> float:
    """Processor seconds of a command and all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def seconds(command: list[str]) -> float:
    """Wall seconds."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def report(name: str, ours: list[float], theirs: list[float]) -> None:
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    spread = f"{min(ours):.2f}..{max(ours):.2f} s / {min(theirs):.2f}..{max(theirs):.2f} s"
    medians = f"{statistics.median(ours):.2f} s / {statistics.median(theirs):.2f} s"
    print(f"{name:<50} ratio {ratio:.2f}   {medians}  ({spread})")


main()
