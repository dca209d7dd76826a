"""What smoke runs are made of, where no engine is needed to see it (tests/test_real_stacks.py has the engines)."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from envctl import spec
from envctl.runner import WORKER
from tests.test_engines import NEEDED, functions


@pytest.fixture
def cuda_trial(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(WORKER))
    monkeypatch.delitem(sys.modules, "failure", raising=False)
    return importlib.import_module("adapters.trial_onnxruntime_gpu")


@pytest.mark.parametrize("engine", [each for each in spec.engines() if spec.read_spec(each).trial])
def test_a_trial_is_a_worker_s_module(engine: str) -> None:
    assert NEEDED <= functions(WORKER / "adapters" / f"{spec.read_spec(engine).trial}.py")


def test_what_a_library_is_linked_with_is_what_readelf_says(cuda_trial: ModuleType) -> None:
    from numpy._core import _multiarray_umath as compiled

    path = Path(str(compiled.__file__))
    said = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
    wanted = [line.split("[")[1].rstrip("]") for line in said.splitlines() if "(NEEDED)" in line]
    assert "libc.so.6" in wanted
    assert cuda_trial.needed(str(path)) == wanted


def test_a_driver_that_is_missing_is_told_from_a_library_that_is(cuda_trial: ModuleType) -> None:
    assert cuda_trial.why_not({"libcuda.so.1"}) == (
        "no-device",
        "libcuda.so.1, which comes with NVIDIA's driver, is not here",
    )
    assert cuda_trial.opens("libc.so.6") and not cuda_trial.opens("libno-such.so.1")
