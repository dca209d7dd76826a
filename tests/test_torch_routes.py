"""Models of PyTorch through real environments to other engines, compared with torch itself.

torch is 2 GB to fetch and a minute to start in a new environment: all of it is slow but what needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from envctl import routes
from envctl.recipe import Packages
from envctl.spec import read_spec
from tests.conftest import Ran, run_envctl

Program = Callable[..., Ran]
MAKER = Path(__file__).parent / "models" / "torch_nets.py"
SMALL = Path(__file__).parent / "models" / "small" / "torch"
LOCAL = ("--runner", "local")
FILES = {"torchscript": "traced.pt", "torch-export": "exported.pt2"}


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The networks, as torch saves them."""
    folder = tmp_path_factory.mktemp("torch")
    python = ("--", "python", str(MAKER), str(folder), "unet", "words", "loop")
    ran = run_envctl("run", "--torch", "2.15", *LOCAL, *python)
    assert ran.code == 0, ran.err
    return folder


def passed(ran: Ran, source: str) -> dict[str, object]:
    """The result, which must be a verdict of torch's on the model that was given."""
    assert ran.code == 0, ran.err
    result = ran.json
    assert (result["status"], result["model"]["format"], result["precision"]) == ("passed", source, "fp32")
    assert (result["reference"]["engine"], result["route"]["to"]) == ("torch", "onnx")
    return result  # type: ignore[no-any-return]


def test_torch_comes_from_the_vendor_s_index_only_where_that_has_an_address() -> None:
    (_, packages), *_ = read_spec("torch").variants
    assert packages.served_by(()).index == {}
    assert packages.served_by({"pytorch": "file:///wheels"}).index == {"torch": "pytorch"}
    assert Packages(requirements=(), index={}).served_by(("pytorch",)).index == {}


def test_a_route_that_says_its_opsets_says_them_best_first() -> None:
    for route in routes.routes():
        if route.engine == "torch":
            assert not route.writer
            assert {"12", "17", "18"} <= set(route.opsets)
            assert len(set(route.opsets)) == len(route.opsets)


@pytest.mark.parametrize(
    ("name", "options", "code", "words"),
    [
        ("scripted.pt", (), 2, ("input x has no shape in the model", "--shape x=")),
        ("traced.pt", ("--opset", "30"), 3, ("does not write opset 30",)),
        ("traced.pt", ("--shape", "y=1x3x8x8"), 2, ("the model has no such input", "its inputs: x")),
    ],
)
def test_what_a_file_does_not_tell_is_asked_for_before_anything_is_made(
    envctl: Program, tmp_path: Path, name: str, options: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    ran = envctl("run", "--ort", "1.31", *LOCAL, "verify", SMALL / name, *options, ENVCTL_CACHE=str(tmp_path / "cold"))
    assert ran.code == code, ran.err
    assert all(word in ran.err for word in words), ran.err
    assert not (tmp_path / "cold" / "environments").exists()


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("net", ["unet", "words"])
@pytest.mark.parametrize("engine", [("--ort", "1.31"), ("--ort", "1.17"), ("--openvino", "2026.4")])
def test_each_format_reaches_other_engines(
    envctl: Program, nets: Path, engine: tuple[str, str], net: str, form: str
) -> None:
    passed(envctl("run", *engine, *LOCAL, "verify", nets / net / FILES[form], "--json"), form)


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.parametrize("form", FILES)
def test_ncnn_takes_one_image_at_a_time(envctl: Program, nets: Path, form: str) -> None:
    shape = ("--shape", "image=1x3x32x32")
    engine = ("--ncnn", "1.0.20261020", *LOCAL)
    passed(envctl("run", *engine, "verify", nets / "unet" / FILES[form], *shape, "--json"), form)


@pytest.mark.slow
@pytest.mark.engines
def test_control_flow_stays_where_a_model_was_scripted(envctl: Program, nets: Path) -> None:
    """A trace has one branch alone; of 16 samples some take each."""
    shape = ("--shape", "x=2x8")
    result = passed(
        envctl("run", "--ort", "1.31", *LOCAL, "verify", nets / "loop" / "scripted.pt", *shape, "--json"), "torchscript"
    )
    assert any("taken as float32" in note for note in result["notes"])  # type: ignore[attr-defined]
    shape = ("--shape", "x=2x8", "--reference", str(nets / "loop" / "scripted.pt"))
    wrong = envctl("run", "--ort", "1.31", *LOCAL, "verify", nets / "loop" / "traced.pt", *shape, "--json")
    assert (wrong.code, wrong.json["status"]) == (1, "failed"), wrong.err


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.parametrize(("form", "opset"), [("torchscript", 12), ("torch-export", 12), ("torch-export", 21)])
def test_the_opset_that_was_asked_for_is_the_one_that_is_written(
    envctl: Program, nets: Path, tmp_path: Path, form: str, opset: int
) -> None:
    """Its exporter writes 18 where less is asked for, and says so in a log alone."""
    way = ("--opset", str(opset), "-o", "out", "--json")
    result = passed(envctl("run", "--ort", "1.31", *LOCAL, "convert", nets / "unet" / FILES[form], *way), form)
    assert result["route"]["model"]["opsets"]["ai.onnx"] == opset  # type: ignore[index]
    made = onnx.load(tmp_path / result["artifacts"][0])  # type: ignore[index]
    assert next(each.version for each in made.opset_import if each.domain in ("", "ai.onnx")) == opset


@pytest.mark.slow
@pytest.mark.engines
def test_shapes_and_types_come_from_the_user_s_samples(envctl: Program, nets: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = {"words": random.integers(0, 50, (6, 2, 12)), "weight": random.random((6, 2, 12), np.float32)}
    np.savez(tmp_path / "inputs.npz", **words)
    shapes = ("--shape", "words=2x12", "--shape", "weight=2x12", "--input", "inputs.npz")
    ran = envctl("run", "--ort", "1.31", *LOCAL, "verify", nets / "words" / "scripted.pt", *shapes, "--json")
    assert passed(ran, "torchscript")["inputs"] == "6 samples from inputs.npz"
