"""No false pass: every altered copy of a model fails its verdict. No false alarm: every honest model passes.

Called in this process (the command line, with --json), one call a model; the engines run in their environments.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from envctl.cli.app import app
from tests.models import altered as altered_models
from tests.models import digits as digits_model
from tests.models import zoo as zoo_models
from tests.models.digits import nodes

pytestmark = pytest.mark.engines
OPENVINO = ("--openvino", "2026.4", "--runner", "local")
ENGINES = {
    "openvino": OPENVINO,
    "ort-1.31": ("--ort", "1.31", "--runner", "local"),
    "ort-1.17": ("--ort", "1.17", "--runner", "local"),
}
CONVS, DENSE = ("conv1", "conv2"), ("fc",)
ALTERATIONS = [
    f"{what}_{layer}.{kind}"
    for what, kind in (("scaled", "weight"), ("bias_dropped", "bias"))
    for layer in CONVS + DENSE
]
ALTERATIONS += [change.__name__ for change in altered_models.CHANGES]
HONEST = [maker.__name__ for maker in zoo_models.MODELS]


def verify(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit code and data of `envctl run PINS verify … --json`."""
    ran = CliRunner().invoke(app, ["run", *map(str, arguments), "--json"])
    return ran.exit_code, json.loads(ran.stdout)


@pytest.fixture(autouse=True)
def _jobs_of_this_test(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed verdict keeps its jobs: not in the cache that the tests share."""
    monkeypatch.setenv("ENVCTL_CACHE", str(own_cache))


@pytest.fixture(scope="module")
def altered(digits: Path, models: Path) -> dict[str, Path]:
    return altered_models.alterations(digits, models / "altered")


def test_there_are_enough_of_both(altered: dict[str, Path]) -> None:
    assert set(altered) == set(ALTERATIONS)
    assert len(ALTERATIONS) >= 12
    assert len(HONEST) >= 12
    assert len(nodes()) == 8


@pytest.mark.parametrize("name", ALTERATIONS)
def test_altered_model_fails(altered: dict[str, Path], digits: Path, name: str) -> None:
    code, result = verify(*OPENVINO, "verify", altered[name], "--reference", digits)
    assert (code, result["status"]) == (1, "failed")
    assert result["verdict"]["reasons"]


def test_altered_model_is_not_delivered(altered: dict[str, Path], digits: Path, tmp_path: Path) -> None:
    code, result = verify(*OPENVINO, "convert", altered["layout"], "--reference", digits, "-o", tmp_path / "out")
    assert (code, result["status"], result["artifacts"]) == (1, "failed", [])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", HONEST)
def test_honest_model_passes(zoo: dict[str, Path], engine: str, name: str) -> None:
    code, result = verify(*ENGINES[engine], "verify", zoo[name])
    assert (code, result["status"]) == (0, "passed"), result.get("note") or result
    assert result["precision"] == ("fp16" if name == "half" else "fp32")


@pytest.mark.parametrize("engine", ENGINES)
def test_honest_digits_pass_with_real_pictures(digits: Path, tmp_path: Path, engine: str) -> None:
    import numpy as np

    np.savez(tmp_path / "in.npz", image=digits_model.samples(64)[0][:, None])
    code, result = verify(*ENGINES[engine], "verify", digits, "--input", tmp_path / "in.npz")
    assert (code, result["status"]) == (0, "passed"), result.get("note") or result
    assert result["verdict"]["differences"][0]["top1"] == 1.0


@pytest.mark.parametrize("seed", [0, 3])
def test_no_seed_is_unlucky_for_an_honest_model_in_fp16(digits: Path, seed: int) -> None:
    """A classifier that is sure of itself may answer one noise like the next (these two seeds' first samples): that
    is no constant model."""
    code, result = verify(*OPENVINO, "verify", digits, "--precision", "fp16", "--seed", str(seed))
    assert (code, result["status"]) == (0, "passed"), result.get("note") or result


def test_the_tolerance_that_would_have_passed_does_pass(altered: dict[str, Path], digits: Path) -> None:
    """A slightly wrong model (bias of the last layer forgotten): the smallest --atol is shown, and is one."""
    given = (*OPENVINO, "verify", altered["bias_dropped_fc.bias"], "--reference", digits, "--cosine", "0.9")
    code, result = verify(*given)
    smallest = result["verdict"]["would_pass"]
    assert (code, result["verdict"]["status"]) == (1, "failed")
    assert verify(*given, "--atol", str(smallest * 1.0001))[0] == 0
    assert verify(*given, "--atol", str(smallest * 0.999))[0] == 1
