"""Models of TensorFlow and Keras through real environments to other engines, compared with the framework itself.

`python3 tasks.py test -m slow` runs them (TensorFlow takes minutes). docs/engines.md has the whole table.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.conftest import Ran, run_envctl
from tests.models import altered

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
MAKER = Path(__file__).parent / "models" / "keras_nets.py"
FORMATS = {"saved-model": "saved_model", "graph-def": "frozen.pb", "keras": "model.keras", "keras-h5": "model.h5"}


def made(version: str, folder: Path, *names: str) -> Path:
    """The networks, as that TensorFlow saves them."""
    python = ["--", "python", str(MAKER), str(folder), *names]
    ran = run_envctl("run", "--tf", version, "--runner", "local", *python)
    assert ran.code == 0, ran.err
    return folder


@pytest.fixture(scope="module")
def keras_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("2.20", tmp_path_factory.mktemp("keras3"), "unet")


@pytest.fixture(scope="module")
def keras_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("2.15", tmp_path_factory.mktemp("keras2"), "unet")


def passed(ran: Ran, source: str, way: str | None) -> dict[str, object]:
    """The result, which must be a verdict of TensorFlow's on the model that was given."""
    assert ran.code == 0, ran.err
    result = ran.json
    assert (result["status"], result["model"]["format"]) == ("passed", source)
    assert result["reference"]["engine"] == "tensorflow"
    assert (result["route"] or {}).get("to") == way
    return result  # type: ignore[no-any-return]


@pytest.mark.slow
def test_a_keras_file_reaches_openvino(envctl: Program, keras_3: Path, tmp_path: Path) -> None:
    """The environment that made the model is the one it passes."""
    model, pins = keras_3 / "unet" / "model.keras", ("--openvino", "2026.4", "--runner", "local")
    ran = envctl("run", *pins, "convert", model, "--via", "tensorflow==2.20", "-o", "out", "--json")
    result = passed(ran, "keras", "onnx")
    assert result["precision"] == "fp32"
    assert (tmp_path / "out" / "model.openvino.xml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("engine", [("--openvino", "2026.4"), ("--litert", "2.3")])
def test_each_format_of_keras_3_reaches_other_engines(
    envctl: Program, keras_3: Path, form: str, engine: tuple[str, str]
) -> None:
    ran = envctl(
        "run", *engine, "--runner", "local", "convert", keras_3 / "unet" / FORMATS[form], "-o", "out", "--json"
    )
    if (engine[0], form) == ("--litert", "graph-def"):
        assert (ran.code, "no way from graph-def to tflite" in ran.err + ran.out) == (2, True)
        return
    direct = engine[0] == "--openvino" and not form.startswith("keras")
    way = None if direct else {"--openvino": "onnx", "--litert": "tflite"}[engine[0]]
    assert passed(ran, form, way)["precision"] == "fp32"


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("engine", [("--ort", "1.31"), ("--ort", "1.17"), ("--openvino", "2024.6")])
def test_each_format_of_keras_2_reaches_other_engines(
    envctl: Program, keras_2: Path, form: str, engine: tuple[str, str]
) -> None:
    ran = envctl("run", *engine, "--runner", "local", "verify", keras_2 / "unet" / FORMATS[form], "--json")
    direct = engine[0] == "--openvino" and not form.startswith("keras")
    result = passed(ran, form, None if direct else "onnx")
    if form.startswith("keras"):  # the environment of the route has a Keras that reads the file
        assert result["reference"]["locked"]["packages"]["keras"].startswith("2.15")  # type: ignore[index]


@pytest.mark.slow
def test_mxnet_takes_a_keras_model_through_an_opset_that_its_importer_knows(envctl: Program, tmp_path: Path) -> None:
    model = made("2.20", tmp_path, "mobilenetv2") / "mobilenetv2" / "model.keras"
    ran = envctl("run", "--mxnet", "1.9.1", "--runner", "local", "verify", model, "--samples", "4", "--json")
    assert passed(ran, "keras", "onnx")["route"]["model"]["opsets"]["ai.onnx"] == 12  # type: ignore[index]


@pytest.mark.slow
def test_channels_first_is_made_verified_and_said(envctl: Program, keras_3: Path, tmp_path: Path) -> None:
    model = keras_3 / "unet" / "model.keras"
    ran = envctl("run", "--ort", "1.31", "--runner", "local", "convert", model, "--layout", "nchw", "-o", "o", "--json")
    result = passed(ran, "keras", "onnx")
    route = result["route"]
    assert route["channels_first"] == ["classes", "image"]  # type: ignore[index]
    assert route["model"]["inputs"] == ["image float32[?,3,32,32]"]  # type: ignore[index]
    left = turned(tmp_path / result["artifacts"][0])  # type: ignore[index]
    assert left <= {"Tile", "Reshape"}, "only within Keras 3's upsampling, which repeats along axes of its own"
    assert any("Transpose left in the graph" in note for note in result["notes"]) == bool(left)  # type: ignore[attr-defined]


def turned(model: Path) -> set[str]:
    """What makes the tensors that the graph moves axes of; the graph's own inputs by name."""
    graph = onnx.load(str(model)).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    return {makers.get(node.input[0], node.input[0]) for node in graph.node if node.op_type == "Transpose"}


@pytest.mark.slow
def test_a_model_with_channels_first_stays_as_it_is(envctl: Program, tmp_path: Path) -> None:
    model = made("2.20", tmp_path, "unet_cf") / "unet_cf" / "saved_model"
    result = passed(
        envctl("run", "--ort", "1.31", "--runner", "local", "verify", model, "--json"), "saved-model", "onnx"
    )
    assert result["route"]["model"]["inputs"] == ["image float32[?,3,32,32]"]  # type: ignore[index]


@pytest.mark.slow
def test_what_a_route_made_is_kept_and_another_source_is_converted_anew(
    envctl: Program, keras_3: Path, tmp_path: Path
) -> None:
    ask = ("run", "--ort", "1.31", "--runner", "local", "verify", "--json")
    source = keras_3 / "unet" / "model.keras"
    first, second = (passed(envctl(*ask, source), "keras", "onnx") for _ in range(2))
    assert first["route"]["model"]["sha256"] == second["route"]["model"]["sha256"]  # type: ignore[index]
    assert second["route"]["kept"] is True  # type: ignore[index]
    other = tmp_path / "other.keras"
    one_byte_more(source, other)
    third = passed(envctl(*ask, other), "keras", "onnx")
    assert third["route"]["kept"] is False  # type: ignore[index]


def one_byte_more(source: Path, target: Path) -> None:
    """The same archive with one byte of its metadata's text changed: another file."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info, data + b" " if info.filename == "metadata.json" else data)


@pytest.mark.slow
def test_a_wrong_weight_between_source_and_target_fails(envctl: Program, keras_3: Path, tmp_path: Path) -> None:
    """The verdict is about the model that was given: another one in its place is seen."""
    ask = ("run", "--ort", "1.31", "--runner", "local")
    made = envctl(*ask, "convert", keras_3 / "unet" / "model.keras", "-o", "out", "--json").json["artifacts"][0]
    made = tmp_path / made
    ran = envctl(*ask, "verify", made, "--reference", keras_3 / "unet" / "model.keras", "--json")
    assert ran.json["status"] == "passed", ran.err
    other = envctl(*ask, "verify", made, "--reference", keras_3 / "unet" / "saved_model", "--json")
    assert other.code == 0, other.err
    wrong = tmp_path / "wrong.onnx"
    graph = onnx.load(made)
    altered.rewrite(graph.graph, altered.weights(graph.graph)[0], lambda array: array * np.float32(1.05))
    onnx.save(graph, wrong)
    ran = envctl(*ask, "verify", wrong, "--reference", keras_3 / "unet" / "model.keras", "--json")
    assert (ran.code, ran.json["status"]) == (1, "failed")


@pytest.mark.slow
def test_a_keras_2_file_where_an_older_keras_is_asked_for_is_refused_with_the_proof(
    envctl: Program, keras_2: Path
) -> None:
    model = keras_2 / "unet" / "model.keras"
    ran = envctl("run", "--ort", "1.31", "--runner", "local", "verify", model, "--via", "tensorflow==2.14")
    assert ran.code == 3
    assert "model.keras was written by Keras 2.15" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("form", ["keras", "keras-h5"])
@pytest.mark.parametrize("engine", [("--ort", "1.31", "--via", "tensorflow==2.20"), ("--tf", "2.20")])
def test_a_keras_2_file_is_read_by_tf_keras_where_a_newer_tensorflow_is_asked_for(
    envctl: Program, keras_2: Path, form: str, engine: tuple[str, ...]
) -> None:
    pins, via = engine[:2], engine[2:]
    ran = envctl("run", *pins, "--runner", "local", "verify", keras_2 / "unet" / FORMATS[form], *via, "--json")
    result = passed(ran, form, "onnx" if via else None)
    for role in ("reference",) if via else ("target",):
        packages = result[role]["locked"]["packages"]  # type: ignore[index]
        assert packages["tensorflow-cpu"].startswith("2.20"), packages
        assert packages["tf-keras"].startswith("2.20"), packages
        assert "tensorflow" not in packages


@pytest.mark.slow
def test_code_in_a_file_is_not_run(envctl: Program, tmp_path: Path) -> None:
    """A Lambda layer that writes a file: Keras refuses it, and nothing appears."""
    mark = tmp_path / "mark"
    maker = tmp_path / "lambda.py"
    maker.write_text(
        "import keras, sys\n"
        f"def bad(x):\n    open({str(mark)!r}, 'w').write('x')\n    return x\n"
        "i = keras.Input((4,), name='x')\n"
        "m = keras.Model(i, keras.layers.Lambda(bad, output_shape=(4,))(i))\n"
        "m.save('bad.keras'); m.save('bad.h5')\n"
    )
    assert envctl("run", "--tf", "2.20", "--runner", "local", "--", "python", str(maker)).code == 0
    mark.unlink(missing_ok=True)
    for name in ("bad.keras", "bad.h5"):
        ran = envctl("run", "--ort", "1.31", "--runner", "local", "verify", tmp_path / name)
        assert ran.code == 5, ran.err
        assert not mark.exists()


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.usefixtures("docker_base")
def test_a_folder_goes_into_a_container(envctl: Program, keras_3: Path) -> None:
    ran = envctl(
        "run", "--openvino", "2026.4", "--runner", "docker", "verify", keras_3 / "unet" / "saved_model", "--json"
    )
    assert passed(ran, "saved-model", None)["runner"]["name"] == "docker"  # type: ignore[index]


def test_layout_and_opset_of_an_onnx_model_are_not_changed(envctl: Program, digits: Path) -> None:
    for option in (("--layout", "nchw"), ("--opset", "17"), ("--via", "tensorflow==2.17")):
        ran = envctl("run", "--ort", "1.31", "verify", digits, *option)
        assert ran.code == 2
        assert "nothing is written on the way" in ran.err


@pytest.mark.slow
def test_a_frozen_graphs_input_is_called_so_in_every_openvino(envctl: Program, keras_3: Path) -> None:
    """2023.3 shows `image` first, and not `image:0` as later releases do."""
    frozen = keras_3 / "unet" / "frozen.pb"
    ran = envctl("run", "--openvino", "2023.3", "--runner", "local", "infer", frozen, "--json")
    assert (ran.code, ran.json["status"]) == (0, "ran"), ran.err
