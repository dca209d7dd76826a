"""`envctl debug` through real engines: the node that has a fault, and none where there is none.

The whole table of planted faults is slow: `python3 tasks.py test -m slow`, or `python -m tests.debug_score`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests import debug_nets, debug_score
from tests.conftest import Ran
from tests.models import mobilenet, planted

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
OPENVINO = ("--openvino", "2026.4", "--runner", "local")
ORT = ("--ort", "1.31", "--runner", "local")
MEMORY = 1.5  # times a plain run's peak


def faulty(source: Path, fault: planted.Plant, folder: Path) -> tuple[Path, str]:
    """The copy with a fault, and what the guilty node makes."""
    target = folder / "faulty.onnx"
    return target, debug_score.plant(source, fault, target)


def test_an_old_release_s_own_fault_is_found_and_a_newer_one_passes(envctl: Program, tmp_path: Path) -> None:
    """No fault is planted: ONNX Runtime 1.17 averages wrongly, and the environment is to blame."""
    source = debug_nets.ceiling(tmp_path / "net.onnx")
    ran = envctl("debug", source, "--ort", "1.17", "--runner", "local", "--versions", "1.31", "--json")
    assert (ran.code, ran.json["status"]) == (1, "node"), ran.err
    assert [each["op"] for each in ran.json["suspects"]] == ["AveragePool"]
    assert [(each["title"], each["status"]) for each in ran.json["elsewhere"]] == [
        ("ONNX Runtime (CPU) 1.31.1", "passed")
    ]
    assert ran.json["blamed"] == "" and ran.json["finding"]["alone"] == ran.json["finding"]["after"] > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2024.6", "2026.4"])
def test_an_attribute_that_an_engine_ignores_in_silence_is_found(envctl: Program, tmp_path: Path, version: str) -> None:
    source = debug_nets.antialiased(tmp_path / "net.onnx")
    ran = envctl("debug", source, "--openvino", version, "--runner", "local", "--versions", "none", "--json")
    assert (ran.code, [each["op"] for each in ran.json["suspects"]]) == (1, ["Resize"]), ran.err


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.usefixtures("docker_base")
def test_in_containers_too(envctl: Program, tmp_path: Path) -> None:
    source = debug_nets.ceiling(tmp_path / "net.onnx")
    ran = envctl("debug", source, "--ort", "1.17", "--runner", "docker", "--versions", "none", "--json")
    assert [each["op"] for each in ran.json["suspects"]] == ["AveragePool"], ran.err


@pytest.mark.slow
def test_an_activation_that_a_conversion_lost_is_named(envctl: Program, zoo: dict[str, Path], tmp_path: Path) -> None:
    target, guilty = faulty(zoo["unet"], planted.activation_merged_away, tmp_path)
    ran = envctl("debug", zoo["unet"], "--target-model", target, *OPENVINO, "--json")
    assert (ran.code, ran.json["status"]) == (1, "node"), ran.err
    (suspect,) = ran.json["suspects"]
    assert (suspect["op"], suspect["output"]) == ("Relu", guilty)
    assert suspect["differs"] == "the target's file has no such node"
    assert ran.json["blamed"].startswith("the file: ONNX Runtime")
    assert ran.json["runs"] <= 12 and ran.json["finding"]["before"] < 1e-5 < ran.json["finding"]["after"]
    errors = [each["error"] for each in ran.json["growth"]]
    assert min(errors) < 1e-5 and max(errors) > 1e-2
    assert all(each["marked"] <= MEMORY * each["plain"] for each in ran.json["memory"].values())


def test_a_healthy_model_has_no_guilty_node_even_where_the_verdict_is_forced(
    envctl: Program, zoo: dict[str, Path]
) -> None:
    ran = envctl("debug", zoo["tokens"], *OPENVINO, "--atol", "1e-9", "--versions", "none")
    assert (ran.code, ran.out.startswith("GRADUAL")) == (1, True), ran.err
    assert "\n  node " not in ran.out


def test_nothing_is_searched_where_the_outputs_agree(envctl: Program, zoo: dict[str, Path]) -> None:
    ran = envctl("debug", zoo["mlp"], *ORT, "--json")
    assert (ran.code, ran.json["status"], ran.json["suspects"], ran.json["nodes"]) == (0, "agrees", [], 0), ran.err


@pytest.mark.slow
def test_the_part_that_is_guilty_is_kept_as_a_model(envctl: Program, zoo: dict[str, Path], tmp_path: Path) -> None:
    """And weights that differ are told by their name."""
    target, guilty = faulty(zoo["two_outputs"], planted.weight_scaled, tmp_path)
    ran = envctl("debug", zoo["two_outputs"], "--target-model", target, *ORT, "--versions", "none", "--json")
    (suspect,) = ran.json["suspects"]
    assert suspect["output"] == guilty and "has other values" in suspect["differs"]
    part = onnx.load(ran.json["part"])
    assert [node.output[0] for node in part.graph.node] == [guilty]
    assert ran.json["finding"]["alone"] == pytest.approx(ran.json["finding"]["after"], rel=0.05)


def test_a_worker_that_fails_ends_with_five(envctl: Program, zoo: dict[str, Path]) -> None:
    ran = envctl("debug", zoo["mlp"], *ORT, "--timeout", "1", "--memory", "16m")
    assert ran.code == 5 and "error:" in ran.err


def test_layers_of_an_engine_without_such_are_refused(envctl: Program, zoo: dict[str, Path]) -> None:
    ran = envctl("debug", zoo["mlp"], *OPENVINO, "--precision", "bf16", "--layers")
    assert ran.code == 2 and "--layers: OpenVINO has no layers of its own precision for bf16" in ran.err


def test_images_to_calibrate_on_come_with_what_they_go_through(envctl: Program, digits: Path, tmp_path: Path) -> None:
    """As in `envctl run`: whatever of a model's options an error names can be said here too."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").touch()
    int8 = ("debug", digits, *OPENVINO, "--precision", "int8", "--calibration", tmp_path / "images")
    ran = envctl(*int8)
    assert ran.code == 2 and "holds images: --preprocess is needed" in ran.err
    ran = envctl(*int8, "--preprocess", "size=9x9")
    assert ran.code == 2 and "--preprocess does not suit" in ran.err


@pytest.mark.slow
def test_int8_that_an_engine_s_own_tool_makes_is_not_followed(envctl: Program, digits: Path) -> None:
    """NNCF writes OpenVINO's format; the files of both sides have to be ONNX."""
    int8 = ("--precision", "int8", "--calibration", "seeded", "--cosine", "0.999999")
    ran = envctl("debug", digits, *OPENVINO, *int8)
    assert ran.code == 2 and "int8 is made in openvino-ir, whose tensors cannot be followed" in ran.err


@pytest.mark.slow
def test_other_releases_are_tried_when_they_are_named(envctl: Program, zoo: dict[str, Path], tmp_path: Path) -> None:
    target, _ = faulty(zoo["unet"], planted.weight_scaled, tmp_path)
    ran = envctl("debug", zoo["unet"], "--target-model", target, *OPENVINO, "--versions", "2024.6", "--json")
    assert [(each["title"], each["status"]) for each in ran.json["elsewhere"]] == [("OpenVINO 2024.6.0", "failed")]


@pytest.mark.slow
def test_a_framework_s_model_is_searched_in_onnx(envctl: Program, nets: Path) -> None:
    source = nets / "unet" / "saved_model"
    ran = envctl("debug", source, *OPENVINO, "--atol", "1e-9", "--via", "tensorflow==2.20", "--json")
    assert (ran.code, ran.json["status"], ran.json["suspects"]) == (1, "gradual", []), ran.err
    assert ran.json["verified"]["reference"]["engine"] == "tensorflow" and ran.json["growth"]


@pytest.mark.slow
def test_the_fewest_layers_in_float32_make_float16_pass(envctl: Program, tmp_path: Path) -> None:
    """A random net, which float16 does not hold, and the model that comes out passes by itself."""
    source = mobilenet.make(tmp_path / "net.onnx", width=0.35, size=64, classes=20)
    wish = ("--precision", "fp16", "--versions", "none")
    ran = envctl("debug", source, *ORT, *wish, "--layers", "-o", tmp_path / "mixed.onnx", "--json", seconds=1800)
    mixed = ran.json["layers"]
    assert ran.json["status"] == "gradual" and mixed["minimal"] and 0 < len(mixed["kept"]) < mixed["candidates"] / 4
    judged = envctl("run", *ORT, "verify", tmp_path / "mixed.onnx", "--reference", source, "--json")
    assert (judged.code, judged.json["precision"]) == (0, "fp16"), judged.err


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return debug_nets.make(tmp_path_factory.mktemp("nets"))


@pytest.mark.slow
def test_planted_faults_are_found_exactly(nets: Path, tmp_path: Path) -> None:
    """At least 95 of a hundred, in 12 runs each, with half as much memory again as a plain run."""
    scores = [
        debug_score.score(nets / f"{model}.onnx", name, fault, tmp_path, *OPENVINO[:2])
        for model, name, fault in planted.FAULTS
    ]
    told = debug_score.table(scores)
    assert len(scores) >= 20 and sum(each.exact for each in scores) >= 0.95 * len(scores), told
    assert max(each.runs for each in scores) <= 12 and max(each.memory for each in scores) <= MEMORY, told


@pytest.mark.slow
@pytest.mark.parametrize("engine", [OPENVINO, ("--ort", "1.17", "--runner", "local")], ids=["openvino", "ort"])
@pytest.mark.parametrize("name", [*debug_nets.KERAS, "tokens"])
def test_no_node_of_a_healthy_model_is_named(envctl: Program, nets: Path, name: str, engine: tuple[str, ...]) -> None:
    """The verdict is forced to fail: what is left are the engines' roundings."""
    forced = ("--atol", "1e-9", "--versions", "none")
    ran = envctl("debug", nets / f"{name}.onnx", *engine, *forced, "--json", seconds=1800)
    assert ran.json["status"] == "gradual" and not ran.json["suspects"], ran.out


@pytest.mark.slow
def test_an_engine_that_is_wrong_in_company_is_found_where_it_joins(envctl: Program, nets: Path) -> None:
    """No fault is planted: OpenVINO 2026.4 is off behind a quantised Concat, and right where that is alone."""
    ran = envctl("debug", nets / "quantised.onnx", *OPENVINO, "--versions", "none", "--json")
    assert (ran.code, ran.json["status"], ran.json["finding"]["alone"]) == (1, "company", 0.0), ran.err
    (suspect,) = ran.json["suspects"]
    assert suspect["op"] == "DequantizeLinear" and "concatenate" in suspect["layer"]
