"""Images of real engines: each is the lock's, its versions are the lock's, and a model of one node runs in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from envctl.lockfile import one_of
from envctl.model.one_node import C, one_node
from envctl.workflow.read_locked import read_locked
from envctl.workflow.smoke import distributions_of, why_no_model
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
        assert "x + c = [11.0, 22.0, 33.0, 44.0]" in smoke["ran"] and smoke["instead"] == ""
        assert ran.json["expected"]["manifest"] == made.json["manifest"]


def test_the_model_is_a_valid_one_of_one_node() -> None:
    model = onnx.load_from_string(one_node())
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Add"]
    (stored,) = model.graph.initializer
    assert onnx.numpy_helper.to_array(stored).ravel().tolist() == list(C)


@pytest.mark.slow
def test_an_engine_that_envctl_cannot_run_is_imported_and_that_is_said(envctl: Program, tmp_path: Path) -> None:
    locked = envctl("lock", "--tf", "2.20", "--target", X86, "--base", "none", "-o", "envctl.lock")
    assert locked.code == 0, locked.err
    lock = plain(tmp_path / "envctl.lock")
    made = envctl("build", lock, "-o", "oci:image", "--no-papers", "--json")
    assert made.code == 0, made.err
    ran = envctl("verify-image", "oci:image", "--lock", "envctl.lock", "--smoke", "--json")
    assert ran.code == 0, ran.err + ran.out
    smoke = ran.json["smoke"]
    assert (
        smoke["ran"] == "" and "cannot run models with TensorFlow yet; imported: tensorflow tf2onnx" in smoke["instead"]
    )


def test_a_plain_lock_s_engine_is_known_by_its_distribution(envctl: Program, tmp_path: Path) -> None:
    locked = envctl("lock", "--openvino", "2026.4", "--target", X86, "--base", "none", "-o", "envctl.lock")
    assert locked.code == 0, locked.err
    (found,) = read_locked(plain(tmp_path / "envctl.lock"))
    known = spec(found)
    assert known and known.engine == "openvino" and why_no_model(known) == ""
    assert distributions_of(known, found.lock) == ["openvino", "numpy"]
    assert json.loads(found.lock.text())["packages"]
