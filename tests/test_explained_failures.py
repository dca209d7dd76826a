"""A worker's failure in `envctl run` is explained: real environments with a real library taken out of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Ran, run_envctl


@pytest.fixture
def openvino(own_cache: Path, digits: Path, tmp_path: Path) -> Path:
    """An OpenVINO environment of the test's own, which it may break: `own_cache`'s is shared."""
    run = run_envctl("run", "--openvino", "2026.4", "--runner", "local", "infer", digits, "--json", cwd=tmp_path)
    made = Path(run.json["target"]["locked"]["environment"])
    shared = own_cache / "environments"
    others = [path for path in shared.iterdir() if not path.name.startswith(made.name)]
    shared.unlink()
    shared.mkdir()
    for path in others:
        (shared / path.name).symlink_to(path.resolve())
    # uv linked the files to its cache: what is deleted here is this copy's name only
    shutil.copytree(made, shared / made.name, symlinks=True, copy_function=_linked)
    return shared / made.name


def _linked(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def infer(model: Path, cache: Path, folder: Path) -> Ran:
    """The model on OpenVINO with the caches of `cache`."""
    arguments = ("run", "--openvino", "2026.4", "--runner", "local", "infer", model)
    return run_envctl(*arguments, cwd=folder, ENVCTL_CACHE=str(cache))


@pytest.mark.engines
@pytest.mark.parametrize(
    ("library", "told", "check"),
    [
        (
            "libopenvino_intel_cpu_plugin.so",
            "CPU plugin (libopenvino_intel_cpu_plugin.so) is not beside",
            "lib.closure",
        ),
        ("libtbb.so.12", "a library that it needs (tbb", "lib.closure"),
    ],
)
def test_a_missing_library_is_named_with_its_remedy_and_check(
    openvino: Path, own_cache: Path, digits: Path, tmp_path: Path, library: str, told: str, check: str
) -> None:
    whole = infer(digits, own_cache, tmp_path)
    assert whole.code == 0, whole.err
    for path in openvino.rglob(library):
        path.unlink()
    broken = infer(digits, own_cache, tmp_path)
    assert broken.code == 5
    assert told in broken.err, broken.err
    assert f"envctl doctor --only {check}" in broken.err
    assert "worker.log" in broken.err and "reproduce.sh" in broken.err


@pytest.mark.engines
def test_a_framework_s_model_that_an_engine_cannot_read_itself_is_sent_through_its_framework(tmp_path: Path) -> None:
    """A SavedModel with an operator that OpenVINO has no rule for, as it had none for a MobileNetV2's."""
    model = tmp_path / "model"
    shutil.copytree(Path(__file__).parent / "models/small/tensorflow/saved_model", model)
    graph = model / "saved_model.pb"
    graph.write_bytes(graph.read_bytes().replace(b"\x12\x04Relu", b"\x12\x04Relx"))
    pins = ("--openvino", "2026.4", "--runner", "local")
    ran = run_envctl("run", *pins, "convert", model, "--no-verify", "-o", "out", cwd=tmp_path)
    assert ran.code == 5 and "Relx" in ran.err and "--via onnx" in ran.err
