"""The vendor's index as an alias: TensorRT's wheels locked from there by hash, and installed.

The wheels are STAND-INS made here, with the names and versions of the real ones and nothing of them inside: what is
shown is the path `--index nvidia=URL`, not TensorRT. The real libraries (1 to 2 GB) live on NVIDIA's own index.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from envctl import lock
from envctl.aliases import Indexes
from envctl.errors import EnvctlError
from envctl.runner.local import LocalRunner
from envctl.solver import Choice, Stack
from envctl.spec import read_spec
from tests.wheelhouse import Wheelhouse, served, sha256

PLATFORM = "x86_64-manylinux_2_28"
VENDOR = {
    "8.6.1": (("tensorrt-libs", "8.6.1.6"), ("tensorrt-bindings", "8.6.1.6")),
    "10.16.1": (("tensorrt-cu12-libs", "10.16.1.11"), ("tensorrt-cu12-bindings", "10.16.1.11")),
    "11.4.0": (("tensorrt-cu13-libs", "11.4.0.106"), ("tensorrt-cu13-bindings", "11.4.0.106")),
}
CUDA = {"8.6.1": "12.0.1", "10.16.1": "12.9.1", "11.4.0": "13.0.2"}


def stack(version: str) -> Stack:
    """A stack around TensorRT, as the solver gives it."""
    versions = {"tensorrt": version, "python": "3.11", "cuda": CUDA[version], "cudnn": "8.9.0"}
    choices = {name: Choice(name=name, version=each, source="test", why=()) for name, each in versions.items()}
    return Stack(engine="tensorrt", choices=choices, constraints={})


def houses(folder: Path, version: str) -> tuple[Wheelhouse, Wheelhouse]:
    """The default index, which has packages of the same names that must not be taken, and the vendor's."""
    default, vendor = Wheelhouse(folder / "default"), Wheelhouse(folder / "vendor")
    for name, exact in (("numpy", "1.26.4"), ("nvidia-cudnn-cu12", "8.9.0.131")):
        default.add(name, exact)
    for name, exact in VENDOR[version]:
        default.add(name, f"{exact}.post9", says="not the vendor's")
        vendor.add(name, exact, says="STAND-IN of the vendor's")
    return default, vendor


@pytest.mark.parametrize("version", VENDOR)
def test_the_vendors_wheels_are_locked_from_its_index_and_installed(version: str, stand_ins: Path) -> None:
    default, vendor = houses(stand_ins, version)
    with served(vendor) as desk:
        indexes = Indexes(addresses={"pypi": default.as_index, "nvidia": desk.address})
        made = lock.find_or_make(
            stack(version), read_spec("tensorrt"), PLATFORM, indexes, offline=False, refresh=False, say=[].append
        )
        environment = LocalRunner().environment(made, indexes, None, offline=False, say=[].append)
    locked = {package.name: package for package in made.packages}
    for name, exact in VENDOR[version]:
        (wheel,) = (vendor.root / "files").glob(f"{name.replace('-', '_')}-*.whl")
        assert (locked[name].version, locked[name].index, locked[name].sha256) == (exact, "nvidia", sha256(wheel))
    assert locked["numpy"].index == "pypi"
    assert "tensorrt" not in locked, "the distribution of that name is a stub that downloads while it is built"
    assert desk.names() == {name for name, _ in VENDOR[version]}
    module = VENDOR[version][1][0].replace("-", "_")
    told = [environment.python, "-I", "-c", f"import {module}; print({module}.SAYS)"]
    assert subprocess.run(told, capture_output=True, text=True, check=True).stdout == "STAND-IN of the vendor's\n"


def test_without_an_address_for_the_vendor_nothing_else_is_taken(stand_ins: Path) -> None:
    default, _ = houses(stand_ins, "8.6.1")
    indexes = Indexes(addresses={"pypi": default.as_index})
    with pytest.raises(EnvctlError, match="nvidia"):
        lock.find_or_make(
            stack("8.6.1"), read_spec("tensorrt"), PLATFORM, indexes, offline=False, refresh=False, say=[].append
        )
