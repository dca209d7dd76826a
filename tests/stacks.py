"""Real stacks as images: locked, built, loaded into Docker, tried there, and what that took.

`python -m tests.stacks` writes the table of docs/images.md from the last runs of tests/test_real_stacks.py.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.building import new_cache
from tests.conftest import CACHE, ROOT, Ran, run_envctl

MEASURED = CACHE / "real-stacks.json"
PAGE = ROOT / "docs" / "images.md"
BEGIN, END = "<!-- measured: python -m tests.stacks -->\n", "<!-- end -->\n"
RAN = "[11.0, 22.0, 33.0, 44.0]"
KEPT = ("matrix", "metadata", "debian")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What is asked, and what must come of it: versions in the lock, and what the smoke run says.

    `short` is what docs call what the image did.
    """

    name: str
    pins: tuple[str, ...]
    versions: dict[str, str]
    short: str
    python: str = "3.11"
    status: str = "passed"
    ran: str = ""
    built: str = ""
    instead: str = ""

    @property
    def target(self) -> str:
        """The machine that it is locked for."""
        return f"name=here,python={self.python},platform=x86_64"

    @property
    def tag(self) -> str:
        """The image's name in Docker."""
        return f"envctl-test:stack-{self.name}"


def tensorflow(version: str, **more: str) -> Stack:
    """TensorFlow for the CPU with tf2onnx: both must give the answer."""
    return Stack(
        name=f"tensorflow-{version}",
        pins=("--tf", version),
        versions={"tensorflow-cpu": version, "tf2onnx": "1.17"},
        ran=f"x + c: tensorflow = {RAN}; tf2onnx = {RAN} for",
        short="ran, as a SavedModel and through tf2onnx",
        **more,
    )


def on_cpu(option: str, engine: str, version: str, **more: str) -> Stack:
    """An engine of the CPU: a model of one node is converted and run."""
    made = {"name": f"{engine}-{version}", "pins": (f"--{option}", version), "versions": {engine: version}}
    return Stack(**made, ran=f"x + c: y = {RAN} for", short="converted and ran", **more)  # type: ignore[arg-type]


STACKS = [
    on_cpu("openvino", "openvino", "2024.6"),
    on_cpu("openvino", "openvino", "2026.4"),
    tensorflow("2.12"),
    tensorflow("2.17"),
    tensorflow("2.20"),
    on_cpu("ort", "onnxruntime", "1.17"),
    Stack(
        name="onnxruntime-gpu-1.31",
        pins=("--ort-gpu", "1.31"),
        versions={"onnxruntime-gpu": "1.31", "nvidia-cudnn-cu13": "9."},
        status="incomplete",
        instead="asked for CUDAExecutionProvider, got CPUExecutionProvider: libcuda.so.1, which comes with NVIDIA's",
        short="imported; every library that the CUDA provider is linked with opens, but the driver's: not run",
    ),
    Stack(
        name="tensorrt-rtx-1.7",
        pins=("--trt-rtx", "1.7"),
        versions={"tensorrt-rtx-cu13-libs": "1.7", "tensorrt-rtx-cu13-bindings": "1.7"},
        status="incomplete",
        built="model.plan, ",
        instead="TensorRT for RTX runs what it built on a GPU only",
        short="parsed and built an engine: not run",
    ),
    Stack(
        name="tensorrt-8.4.1",
        pins=("--trt", "8.4.1"),
        python="3.9",
        versions={"nvidia-tensorrt": "8.4.1.5", "nvidia-cudnn-cu11": "8."},
        status="incomplete",
        instead="without NVIDIA's driver the library gives no builder",
        short="imported; its builder wants a driver: neither built nor run",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a stack came to. Seconds: of the lock, of the wheels' way here, of the first build and of a second with
    everything known, of loading and of the smoke run.
    """

    name: str
    packages: int
    layers: int
    wheels: int
    size: int
    image: str
    seconds: dict[str, float] = field(default_factory=dict)


class Image:
    """One stack on its way: every step is a child process, and timed."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder, self.seconds = stack, folder, dict[str, float]()
        self.cache = new_cache(folder / "cache")
        for name in KEPT:
            (CACHE / name).mkdir(parents=True, exist_ok=True)
            (self.cache / name).symlink_to(CACHE / name)

    def timed(self, what: str, *arguments: str | Path, good: tuple[int, ...] = (0,)) -> Ran:
        """A command that must end so."""
        started = time.monotonic()
        ran = run_envctl(*arguments, cwd=self.folder, seconds=1800, ENVCTL_CACHE=str(self.cache))
        self.seconds[what] = round(time.monotonic() - started, 1)
        assert ran.code in good, ran.err + ran.out
        return ran

    def lock(self) -> dict[str, Any]:
        """The one target of the lock."""
        self.timed("lock", "lock", *self.stack.pins, "--target", self.stack.target, "-o", "envctl.lock")
        (target,) = json.loads((self.folder / "envctl.lock").read_bytes())["targets"]
        found: dict[str, Any] = target
        return found

    def build(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The first build and the second: the wheels are fetched for the first one, and the bytecode is made."""
        first = self.timed("build", "build", "envctl.lock", "--json")
        return first.json, self.timed("again", "build", "envctl.lock", "--json").json

    def load(self) -> dict[str, Any]:
        """The image in Docker."""
        return self.timed("load", "build", "envctl.lock", "--load", "--tag", self.stack.tag, "--json").json

    def smoke(self, code: int) -> dict[str, Any]:
        """What `verify-image` says of what Docker has."""
        given = ("verify-image", f"docker-daemon:{self.stack.tag}", "--lock", "envctl.lock", "--smoke", "--json")
        return self.timed("smoke", *given, good=(code,)).json


@contextmanager
def image_of(stack: Stack, folder: Path) -> Iterator[Image]:
    """A stack's image to be; what Docker and the cache had of it goes away at the end."""
    import docker

    image = Image(stack, folder)
    try:
        yield image
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        client = docker.from_env(timeout=600)
        if client.images.list(stack.tag):
            client.images.remove(stack.tag, force=True)


def record(measured: Measured) -> None:
    """Keep what was measured, for the table."""
    kept = json.loads(MEASURED.read_bytes()) if MEASURED.is_file() else {}
    kept[measured.name] = asdict(measured)
    MEASURED.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")


def table(kept: dict[str, dict[str, Any]]) -> str:
    """The table of docs/images.md."""
    head = ["image", "packages", "wheels", "in Docker", "layers", "lock", "first build", "again", "load", "smoke"]
    lines = [[*head, "what it did"], ["---", *["---:"] * (len(head) - 1), "---"]]
    lines += [_row(stack, kept[stack.name]) for stack in STACKS]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _row(stack: Stack, row: dict[str, Any]) -> list[str]:
    seconds = [f"{row['seconds'][key]:.1f} s" for key in ("lock", "build", "again", "load", "smoke")]
    sizes = [f"{row[key] / 1e6:,.0f} MB" for key in ("wheels", "size")]
    return [f"`{' '.join(stack.pins)}`", str(row["packages"]), *sizes, str(row["layers"]), *seconds, stack.short]


def written(text: str, made: str) -> str:
    """The page with another table."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + made + END + rest.split(END)[1]


def main(read: Callable[[Path], str] = Path.read_text) -> None:
    """Write the table."""
    PAGE.write_text(written(read(PAGE), table(json.loads(read(MEASURED)))))


if __name__ == "__main__":
    main()
