"""Environments of real frameworks, made by uv, and the model files that they make: tests/models/makers.

`python -m tests.frameworks [FOLDER]` writes tests/models/small anew (some GB of packages, removed afterwards).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

MAKERS = Path(__file__).resolve().parent / "models" / "makers"
SMALL = MAKERS.parent / "small"
PYTHON = "3.11"


@dataclass(frozen=True)
class Framework:
    """An environment and its makers. Without `whole`, only the named packages are installed, not what they need."""

    requirements: tuple[str, ...]
    makers: tuple[str, ...]
    whole: bool = True


TENSORFLOW = ("tensorflow_files.py", "keras_files.py")
FRAMEWORKS = {
    "tensorflow-2.12": Framework(("tensorflow-cpu==2.12.1",), TENSORFLOW),
    "tensorflow-2.15": Framework(("tensorflow-cpu==2.15.1",), TENSORFLOW),
    "tensorflow-2.20": Framework(("tensorflow-cpu==2.20.0",), TENSORFLOW),
    "torch": Framework(("torch==2.15.0",), ("torch_files.py",)),
    "engines": Framework(
        ("onnx==1.22.0", "openvino==2026.4.1", "tensorrt-rtx==1.7.1.116", "ai-edge-litert==2.3.0"), ("engine_files.py",)
    ),
    "ncnn": Framework(("pnnx", "ncnn==1.0.20261020", "numpy"), ("ncnn_files.py",), whole=False),
}
# what is kept in tests/models/small: environment, maker, files
KEPT = (
    (
        "tensorflow-2.15", "tensorflow_files.py",
        (
            "saved_model", "saved_model_text/saved_model.pbtxt", "frozen.pb", "frozen.pbtxt", "ambiguous.pb",
            "net.tflite",
        ),
    ),
    ("tensorflow-2.15", "keras_files.py", ("functional.2.keras", "with_lambda.2.h5")),
    ("tensorflow-2.20", "keras_files.py", ("functional.3.keras", "custom.3.keras")),
    (
        "torch", "torch_files.py",
        ("scripted.pt", "traced.pt", "exported.pt2", "state.pt", "legacy.pt", "module.pt"),
    ),
    ("engines", "engine_files.py", ("net.onnx", "external.onnx", "external.bin", "net.xml", "net.bin")),
    ("ncnn", "ncnn_files.py", ("net.ncnn.param", "net.ncnn.bin", "net.pnnx.param")),
)  # fmt: skip


def environment(name: str, folder: Path) -> Path:
    """The Python of a framework's environment, made in a folder."""
    framework, python = FRAMEWORKS[name], folder / "bin" / "python"
    subprocess.run([find_uv_bin(), "venv", "-q", "--python", PYTHON, str(folder)], check=True)
    command = [find_uv_bin(), "pip", "install", "-q", "--python", str(python)]
    subprocess.run([*command, *([] if framework.whole else ["--no-deps"]), *framework.requirements], check=True)
    return python


def make(python: Path, maker: str, folder: Path) -> dict[str, dict]:
    """The files of a maker in a folder, and what the framework says of each by name."""
    source = [str(SMALL / "engines" / "net.onnx")] if maker == "ncnn_files.py" else []
    command = [str(python), str(MAKERS / maker), str(folder), *source]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "said.json").read_text())


def renew(target: Path) -> None:
    """Write the kept files and what their frameworks say of them."""
    for name in FRAMEWORKS:
        with tempfile.TemporaryDirectory(prefix="envctl-frameworks-") as made:
            wanted = [row for row in KEPT if row[0] == name]
            python = environment(name, Path(made) / "env") if wanted else None
            for _, maker, files in wanted:
                said = make(python, maker, Path(made) / maker)
                _keep(
                    Path(made) / maker,
                    target / maker.removesuffix("_files.py").replace("engine", "engines"),
                    files,
                    said,
                )


def _keep(made: Path, target: Path, files: tuple[str, ...], said: dict[str, dict]) -> None:
    for name in files:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(made / name, place, dirs_exist_ok=True) if (made / name).is_dir() else shutil.copy(
            made / name, place
        )
    kept = target / "said.json"
    before = json.loads(kept.read_text()) if kept.is_file() else {}
    told = before | {name: said[name] for name in files if name in said}
    lines = (f"{json.dumps(each)}: {json.dumps(told[each], sort_keys=True)}" for each in sorted(told))
    kept.write_text("{\n" + ",\n".join(lines) + "\n}\n")  # a line a file


if __name__ == "__main__":
    renew(Path(sys.argv[1]) if len(sys.argv) > 1 else SMALL)
