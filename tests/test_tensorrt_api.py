"""The names that the TensorRT adapter uses, against the real bindings of 8.4 to 11 and of TensorRT for RTX."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest

from envctl.runner import WORKER
from tests.conftest import CACHE, ROOT

pytestmark = pytest.mark.engines
Names = dict[str, list[str]]

# one binding of each line that the index has; 8.4 came as one wheel of 774 MB: its names are kept, read anew when slow
WHEELS = {
    "8.6": "tensorrt-bindings==8.6.1",
    "10.0": "tensorrt-cu12-bindings==10.0.1",
    "10.16": "tensorrt-cu12-bindings==10.16.1.11",
    "11.0": "tensorrt-cu13-bindings==11.0.0.114",
    "11.4": "tensorrt-cu13-bindings==11.4.0.106",
}
RTX = {"RTX 1.4": "1.4.0.76", "RTX 1.5": "1.5.0.114", "RTX 1.6": "1.6.1.120", "RTX 1.7": "1.7.1.116"}
KEPT_84 = ROOT / "tests" / "facts" / "tensorrt-8.4.1.5-names.json"
VERSIONS = ["8.4", *WHEELS, *RTX]

# what the adapter's variables hold
RECEIVERS = {
    "builder": "Builder", "config": "IBuilderConfig", "network": "INetworkDefinition", "parser": "OnnxParser",
    "error": "ParserError", "tensor": "ITensor", "layer": "ILayer", "engine": "ICudaEngine",
    "chosen": "IOptimizationProfile", "cache": "ITimingCache", "names": "NetworkDefinitionCreationFlag",
}  # fmt: skip
# used only behind a question for the name on the right: where that is missing, so may the one on the left be
GUARDED = {
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH": "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED": "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
    "INetworkDefinition.get_flag": "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
    "IBuilderConfig.num_compute_capabilities": "ComputeCapability",
    "IBuilderConfig.set_compute_capability": "ComputeCapability",
    "IBuilderConfig.runtime_platform": "RuntimePlatform",
    "RuntimePlatform": "RuntimePlatform",
}
# asked for with getattr and a default
OPTIONAL = (
    "BuilderFlag.FP16", "BuilderFlag.BF16", "BuilderFlag.INT8", "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED", "ParserError.node_name", "ParserError.node_operator",
    "ComputeCapability", "RuntimePlatform",
)  # fmt: skip
MARK = {True: "yes", False: "–"}


def adapter() -> list[ast.Module]:
    """The adapter's files, parsed."""
    return [ast.parse(path.read_text()) for path in sorted((WORKER / "adapters").glob("tensorrt*.py"))]


def used() -> set[str]:
    """Every attribute of the library and its objects in the adapter's source, as Class.member."""
    found = set()
    for node in (node for tree in adapter() for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = node.value.id
            if owner == "library":
                found.add(node.attr)
            elif owner in RECEIVERS:
                found.add(f"{RECEIVERS[owner]}.{node.attr}")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            inner = node.value
            if isinstance(inner.value, ast.Name) and inner.value.id == "library":
                found.add(f"{inner.attr}.{node.attr}")
    return {name for name in found if not name.endswith(".__init__") and not name.startswith("__")}


def asked() -> set[str]:
    """Every name that the adapter asks for with hasattr or getattr and a default."""
    calls = [node for tree in adapter() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in ("hasattr", "getattr")]
    return {str(call.args[1].value) for call in named if isinstance(call.args[1], ast.Constant)}


@cache
def names_of(version: str) -> Names:
    """The names of a version's real binding."""
    if version == "8.4":
        kept: Names = json.loads(KEPT_84.read_text())
        return kept
    if version in RTX:
        return rtx(RTX[version])
    return bound(wheel(WHEELS[version]), sys.executable)


def wheel(requirement: str, *options: str) -> Path:
    """The one wheel of a requirement, downloaded once."""
    folder = CACHE / "bindings" / requirement
    if not (found := list(folder.glob("*.whl"))):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "-d", str(folder)]
        done = subprocess.run([*command, *options, requirement], capture_output=True, text=True, check=False)
        if "No matching distribution" in done.stderr and sys.version_info > (3, 11):
            pytest.skip(f"{requirement} has no wheel for this Python")
        assert done.returncode == 0, done.stderr
        found = list(folder.glob("*.whl"))
    return found[0]


def bound(archive: Path, python: str) -> Names:
    """The names in the extension module of a wheel."""
    folder = CACHE / "bindings" / archive.stem
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as opened:
        member = next(name for name in opened.namelist() if name.endswith("/tensorrt.so"))
        module = Path(opened.extract(member, folder))
    command = [python, str(ROOT / "tests" / "tensorrt_names.py"), str(module), str(folder)]
    found: Names = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def rtx(version: str) -> Names:
    """The names of an RTX binding, loaded beside its library in an environment of its own."""
    command = ["uv", "run", "--no-project", "--isolated", "-q"]
    for part in ("libs", "bindings"):
        command += ["--with", f"tensorrt-rtx-cu13-{part}=={version}"]
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); from tensorrt_names import listed;"
        "import tensorrt_rtx_libs, tensorrt_rtx_bindings as t; print(json.dumps(listed(t)))"
    )
    command += ["python", "-c", code, str(ROOT / "tests")]
    kept = CACHE / "bindings" / f"rtx-{version}.json"  # a release does not change
    if not kept.is_file():
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(told)
    found: Names = json.loads(kept.read_text())
    return found


def has(names: Names, name: str) -> bool:
    """Whether a binding has Class.member, or a class or function."""
    owner, _, member = name.partition(".")
    return owner in names and (not member or member in names[owner])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_that_the_adapter_uses_is_there_or_guarded(version: str) -> None:
    names = names_of(version)
    missing = {name for name in used() - {"__version__"} if not has(names, name)}
    assert {name for name in missing if name not in GUARDED or has(names, GUARDED[name])} == set()


def test_the_adapter_asks_for_what_some_version_lacks() -> None:
    """A guard that guards nothing would be noise, and an optional name that nobody asks for a hole."""
    assert {name.split(".")[-1] for name in OPTIONAL} - asked() - {"FP16", "BF16", "INT8"} == set()
    for name in {*OPTIONAL, *GUARDED}:
        assert {has(names_of(version), name) for version in VERSIONS} == {True, False}, name
    assert len(used()) > 30, "the adapter's variables are called otherwise now"


def test_a_name_that_some_version_lacks_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself: FP16 used unasked would be found in RTX and 11, and nowhere else."""
    monkeypatch.setattr(sys.modules[__name__], "used", lambda: {"BuilderFlag.FP16"})
    lacking = []
    for version in VERSIONS:
        try:
            test_every_name_that_the_adapter_uses_is_there_or_guarded(version)
        except AssertionError:
            lacking.append(version)
    assert lacking == ["11.0", "11.4", "RTX 1.5", "RTX 1.6", "RTX 1.7"]


def test_the_table_in_the_docs_is_that_of_the_bindings() -> None:
    text = (ROOT / "docs" / "tensorrt.md").read_text()
    for name in OPTIONAL:
        cells = " | ".join(MARK[has(names_of(version), name)] for version in VERSIONS)
        assert f"| `{name}` | {cells} |" in text, f"| `{name}` | {cells} |"
    assert f"| name | {' | '.join(VERSIONS)} |" in text


@pytest.mark.slow
def test_the_kept_names_of_84_are_those_of_its_wheel() -> None:
    import shutil

    python = next(iter(sorted((Path.home() / ".pyenv/versions").glob("3.10.*/bin/python"))), None)
    found = str(python) if python else shutil.which("python3.10")  # pyenv's own of that name may be a shim that fails
    if not found:
        pytest.skip("nvidia-tensorrt 8.4.1.5 has no wheel for a CPython that is here (3.6 to 3.10)")
    options = ("--python-version", "3.10", "--platform", "manylinux_2_17_x86_64", "--only-binary", ":all:")
    archive = wheel("nvidia-tensorrt==8.4.1.5", *options)
    try:
        names, kept = bound(archive, found), names_of("8.4")
    finally:
        archive.unlink()  # 774 MB
    assert {owner: names.get(owner) for owner in kept} == kept
