"""Libraries as the loader resolves them: broken machines, real breakage on this one, and the ELF reader."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envctl.doctor.check import Facts
from envctl.doctor.cuda_claims import with_cuda_claims
from envctl.host import Fact, HostFacts
from tests.gpu_machines import MATRIX, PROBES

GCC = pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler here")


def claims(**values: Any) -> Facts:
    """Facts of a machine, with what the matrix says of them."""
    facts = {name: Fact(name=name, value=value, origin="test") for name, value in values.items()}
    return Facts(host=with_cuda_claims(MATRIX, HostFacts(facts=facts)))


def cudart(version: str) -> dict[str, Any]:
    return {f"libcudart.so.{version.split('.', 1)[0]}": {"path": "/x", "version": version}}


@pytest.mark.parametrize(
    ("version", "driver", "gpu", "unmet"),
    [
        ("12.4.127", "535.183.01", "8.6", {"ptx"}),
        ("12.2.140", "535.183.01", "8.6", set()),
        ("12.2.140", "470.82.01", "8.6", {"needs", "ptx"}),
        ("13.0", "580.159.04", "9.0", set()),
        ("13.0.96", "535.183.01", "6.1", {"needs", "ptx"}),
    ],
)
def test_the_matrix_says_what_a_runtime_lacks(version: str, driver: str, gpu: str, unmet: set[str]) -> None:
    facts = claims(libraries=cudart(version), driver=driver, gpu=gpu)
    assert {no["kind"] for it in facts.need("cuda_runtimes") for no in it["unmet"]} == unmet


def test_on_wsl_the_driver_is_windows() -> None:
    facts = claims(
        libraries=cudart("12.4.127"), nvml={"driver": "471.11", "gpus": []}, wsl_gpu={"dxg": True}, gpu="8.6"
    )
    assert {no["name"] for it in facts.need("cuda_runtimes") for no in it["unmet"]} == {"driver-windows"}


def run_probe(**environment: str) -> dict[str, Any]:
    """The facts of the libraries probe on this very machine."""
    command = [sys.executable, "-I", "-S", PROBES / "libraries.py"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=20, env={**os.environ, **environment})
    return {it["name"]: it["value"] for it in json.loads(done.stdout)["facts"]}


def compiled(folder: Path, name: str, source: str, *options: str) -> Path:
    """A small shared library."""
    path = folder / name
    (folder / "source.c").write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", path, folder / "source.c", *options], check=True)
    return path


@GCC
def test_the_loader_says_which_of_two_libraries_wins(tmp_path: Path) -> None:
    for name, version in (("one", "8907"), ("two", "8600")):
        (tmp_path / name).mkdir()
        compiled(tmp_path / name, "libcudnn.so.8", f"unsigned long cudnnGetVersion(void) {{ return {version}; }}")
    for first, second, version in (("one", "two", "8.9.7"), ("two", "one", "8.6.0")):
        found = run_probe(LD_LIBRARY_PATH=f"{tmp_path / first}:{tmp_path / second}")["libraries"]["libcudnn.so.8"]
        assert found["path"] == str(tmp_path / first / "libcudnn.so.8")
        assert found["version"] == version
        assert "libcudnn_ops_infer.so.8" in found["lacks"]


@GCC
def test_the_innermost_missing_library_is_named(tmp_path: Path) -> None:
    compiled(tmp_path, "libcublas.so.12", "int one(void) { return 1; }", "-Wl,-soname,libcublas.so.12")
    inner = str(tmp_path / "libcublas.so.12")
    compiled(tmp_path, "libcudnn.so.9", "int two(void) { return 2; }", "-Wl,--no-as-needed", inner)
    Path(inner).unlink()
    found = run_probe(LD_LIBRARY_PATH=str(tmp_path))["libraries"]["libcudnn.so.9"]
    assert found["error"].startswith("libcublas.so.12: cannot open")


@GCC
def test_cuda_is_asked_in_a_child(tmp_path: Path) -> None:
    source = "int cuInit(unsigned f) { return %s; } int cuDriverGetVersion(int *v) { *v = 12020; return 0; }"
    compiled(tmp_path, "libcuda.so.1", source % "803")
    assert run_probe(LD_LIBRARY_PATH=str(tmp_path))["cuda"] == {"init": 803, "version": "12.2", "devices": []}
    compiled(tmp_path, "libcuda.so.1", "#include <unistd.h>\nint cuInit(unsigned f) { sleep(60); return 0; }")
    assert run_probe(LD_LIBRARY_PATH=str(tmp_path))["cuda"] is None


def elf(name: bytes, content: bytes) -> bytes:
    """A 64-bit ELF file of one note section."""
    names = b"\0" + name + b"\0.shstrtab\0"
    table = 64 + len(content) + len(names)
    head = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    )
    rows = [(0, 0, 0, 0), (1, 7, 64, len(content)), (len(name) + 2, 3, 64 + len(content), len(names))]
    return (
        head
        + content
        + names
        + b"".join(struct.pack("<IIQQQQIIQQ", a, b, 0, 0, c, d, 0, 0, 4, 0) for a, b, c, d in rows)
    )


def test_the_forward_compatibility_note_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note's bytes are those of libcuda 580.95.05, read on an H200 machine."""
    said = (
        b'{"format":1,"CUDA version":"13.0","driver":[535,550,565,570,575,580],"device":[1,2,7,8,9,10,11,12,13,14]}\0'
    )
    note = struct.pack("<III", 19, len(said), 0) + b"NVIDIA Corporation\0\0" + said + bytes(2)
    (tmp_path / "libcuda.so").write_bytes(elf(b".note.cuda.fwd_compatibility", note))
    (tmp_path / "other.so").write_bytes(elf(b".note.gnu.build-id", note))
    monkeypatch.syspath_prepend(str(PROBES))
    reader = importlib.import_module("elf")
    assert reader.compat_note(str(tmp_path / "libcuda.so")) == {
        "cuda": "13.0",
        "drivers": [535, 550, 565, 570, 575, 580],
    }
    assert reader.compat_note(str(tmp_path / "other.so")) == {}


@GCC
def test_what_an_engine_needs_is_read_from_its_file(tmp_path: Path) -> None:
    place = tmp_path / "lib/python3.11/site-packages"
    (place / "onnxruntime/capi").mkdir(parents=True)
    (place / "nvidia/one/lib").mkdir(parents=True)
    for name in ("libenvctl_one.so.9", "libenvctl_two.so.12"):
        compiled(tmp_path, name, "int one(void) { return 1; }", f"-Wl,-soname,{name}")
    needs = [str(tmp_path / "libenvctl_one.so.9"), str(tmp_path / "libenvctl_two.so.12")]
    compiled(place / "onnxruntime/capi", "libonnxruntime_providers_cuda.so", "int two;", "-Wl,--no-as-needed", *needs)
    shutil.move(needs[0], place / "nvidia/one/lib/libenvctl_one.so.9")
    Path(needs[1]).unlink()
    (found,) = run_probe(VIRTUAL_ENV=str(tmp_path), LD_LIBRARY_PATH="")["engine_libraries"]
    assert sorted(found["missing"]) == ["libenvctl_one.so.9", "libenvctl_two.so.12"]
    assert found["in_wheels"] == ["libenvctl_one.so.9"]
