"""The light models that come with onnx: good for structure; constant, so that comparing them proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests.conftest import Ran

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
pytestmark = pytest.mark.engines


@pytest.mark.parametrize("name", ["light_squeezenet", "light_resnet50", "light_shufflenet"])
def test_a_constant_model_is_refused_and_not_delivered(name: str, envctl: Callable[..., Ran], tmp_path: Path) -> None:
    ran = envctl(
        "run", "--openvino", "2026.4", "convert", FOLDER / f"{name}.onnx", "-o", "out", "--samples", "2", "--json"
    )
    assert ran.code == 1, ran.err
    assert ran.json["status"] == "refused"
    assert "does not respond to its input" in ran.json["note"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["light_squeezenet", "light_inception_v1"])
def test_a_constant_model_can_be_built_ahead_of_time(name: str, envctl: Callable[..., Ran], tmp_path: Path) -> None:
    """Structure is all that a build without a GPU shows, and all that it claims."""
    ran = envctl("run", "--trt-rtx", "1.7", "convert", FOLDER / f"{name}.onnx", "-o", "out", "--json")
    assert ran.code == 4, ran.err
    assert ran.json["status"] == "built"
    assert (tmp_path / "out" / f"{name}.trt-rtx.plan").stat().st_size > 0
