"""Images of real engines: each is the lock's, its versions are the lock's, and a model of one node runs in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from envctl.lockfile import one_of
from envctl.model.one_node import C, one_node
from envctl.workflow.read_locked import read_locked
from envctl.workflow.smoke import Smoke, Tried, distributions_of
from envctl.workflow.smoke import spec_of as spec
from tests.conftest import Ran

pytestmark = [pytest.mark.docker, pytest.mark.engines, pytest.mark.usefixtures("docker_base")]
Program = Callable[..., Ran]
X86 = "name=here,python=3.11,platform=x86_64"
OPENVINO = (("--openvino", "2026.4"), "OpenVINO", 3)
ENGINES = [(("--ort", "1.31"), "ONNX Runtime (CPU)", 5), pytest.param(*OPENVINO, marks=pytest.mark.slow)]


def plain(lock: Path) -> Path:
    """The lock of the only environment in a lock file, as it lies in environments: it names no engine."""
    path = lock.with_suffix(".json")
    path.write_text(one_of(read_locked(lock), "").lock.text())
    return path


@pytest.mark.parametrize(("pins", "title", "packages"), ENGINES, ids=["ort", "openvino"])
def test_a_model_of_one_node_runs_in_an_engine_s_image(
    envctl: Program, tmp_path: Path, pins: tuple[str, str], title: str, packages: int
) -> None:
    locked = envctl("lock", *pins, "--target", X86, "--base", "none", "-o", "envctl.lock")
    assert locked.code == 0, locked.err
    lock = plain(tmp_path / "envctl.lock")
    made = envctl("build", lock, "-o", "oci:image", "--no-papers", "--json")
    assert made.code == 0, made.err
    for given in (lock, "envctl.lock"):
        ran = envctl("verify-image", "oci:image", "--lock", given, "--smoke", "--json")
        assert ran.code == 0, ran.err + ran.out
        smoke = ran.json["smoke"]
        assert (smoke["status"], smoke["engine"], smoke["packages"]) == ("passed", title, packages)
        assert smoke["ran"].startswith("x + c: y = [11.0, 22.0, 33.0, 44.0] for x = [1.0, ") and smoke["instead"] == ""
        assert ran.json["expected"]["manifest"] == made.json["manifest"]


def test_the_model_is_a_valid_one_of_one_node() -> None:
    model = onnx.load_from_string(one_node())
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Add"]
    (stored,) = model.graph.initializer
    assert onnx.numpy_helper.to_array(stored).ravel().tolist() == list(C)


def test_a_device_that_is_not_there_makes_a_smoke_run_incomplete() -> None:
    """Neither passed nor failed: exit code 4, whatever else was done in its stead."""
    done: dict[str, Any] = {"packages": 3, "engine": "an engine", "imported": "engine"}
    assert Smoke(**done, tried=Tried(built="model.plan", instead="runs on a GPU only")).status == "incomplete"
    assert Smoke(**done, tried=Tried(instead="no GPU", wrong=("numpy: another",))).status == "failed"
    assert Smoke(**{**done, "engine": ""}, tried=Tried(instead="no engine")).status == "passed"
    assert Smoke(**done, tried=Tried(ran="x + c")).status == "passed"


def test_a_plain_lock_s_engine_is_known_by_its_distribution(envctl: Program, tmp_path: Path) -> None:
    locked = envctl("lock", "--openvino", "2026.4", "--target", X86, "--base", "none", "-o", "envctl.lock")
    assert locked.code == 0, locked.err
    (found,) = read_locked(plain(tmp_path / "envctl.lock"))
    known = spec(found)
    assert known and known.engine == "openvino"
    assert distributions_of(known, found.lock) == ["openvino", "numpy"]
    assert json.loads(found.lock.text())["packages"]
