"""The architecture's law: layers, a worker nobody imports, probes that stand alone."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from envctl.host import ALL_PROBES

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent
PROBES = [ROOT / "probes" / f"{name}.py" for name in ALL_PROBES]
BESIDE = {path.stem for path in (ROOT / "probes").glob("*.py")}  # probes lie together, and may use one another
WORKER = sorted((ROOT / "envctl" / "worker").rglob("*.py"))
TRAVELS = {path.stem for path in (ROOT / "envctl" / "worker").iterdir()}  # its own parts, and adapters of one engine
ENGINES = {
    "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx_libs", "tensorrt_rtx_bindings", "tensorrt_rtx", "tensorflow",
    "keras", "tf_keras", "tf2onnx", "ncnn", "onnxslim", "ai_edge_litert", "mxnet", "tensorrt_bindings", "tensorrt_libs",
    "torch", "onnxscript", "nncf",
}  # fmt: skip
# in the environments of engines that read or write ONNX through it, and of samples that are images
BROUGHT = {"numpy", "onnx", "onnxconverter_common", "PIL"}


def imported(path: Path) -> set[str]:
    """The top-level names a file imports, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    found += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in found}


def test_no_module_imports_what_stands_above_it() -> None:
    done = subprocess.run([TOOLS / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "probes").glob("*.py")), ids=lambda path: path.name)
def test_probes_need_the_standard_library_only(path: Path) -> None:
    assert imported(path) <= sys.stdlib_module_names | BESIDE


@pytest.mark.parametrize("path", PROBES, ids=lambda path: path.name)
def test_a_probe_prints_one_document_whose_facts_have_value_origin_and_error(path: Path) -> None:
    command = [sys.executable, "-I", "-S", str(path)]
    facts = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["facts"]
    assert facts
    for fact in facts:
        assert set(fact) == {"name", "value", "origin", "error"}
        assert fact["origin"]
        assert (fact["value"] is None) == bool(fact["error"]), f"unknown without a reason, or known with one: {fact}"


@pytest.mark.parametrize("path", WORKER, ids=lambda path: path.name)
def test_the_worker_needs_numpy_its_engine_and_nothing_of_ours(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    assert imported(path) <= sys.stdlib_module_names | ENGINES | BROUGHT | TRAVELS


def test_the_host_side_opens_no_engine() -> None:
    for path in sorted((ROOT / "envctl").rglob("*.py")):
        if path not in WORKER:
            assert not imported(path) & (ENGINES | {"onnx", "torch", "tensorflow"}), path


def test_nobody_imports_the_worker() -> None:
    """It travels: what it needs must lie beside it, and what it is must not be needed here."""
    for path in sorted((ROOT / "envctl").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        assert not any(module.startswith("envctl.worker") for module in modules), path
