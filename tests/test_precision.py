"""int8 as one request, whatever the engine's way: calibrated on real digits, executed, read back, judged on others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Ran, run_envctl
from tests.models import digits as maker
from tests.test_samples import ppm

pytestmark = pytest.mark.engines
Program = Callable[..., Ran]
HERE = ("--runner", "local")
MAKER = Path(__file__).parent / "models" / "keras_nets.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits that the model was trained on to calibrate, as npz and as images; held-out ones to judge."""
    folder = tmp_path_factory.mktemp("digits")
    images, labels = maker.dataset()
    np.savez(folder / "calibration.npz", image=images[:100, None])
    np.savez(folder / "judged.npz", image=maker.samples(60)[0][:, None])
    for index in range(40):
        gray = np.round(images[index, 0] * 16 * 15).astype(np.uint8)
        ppm(folder / "images" / str(labels[index]) / f"{index}.ppm", gray[:, :, None].repeat(3, axis=2))
    return folder


def int8(envctl: Program, engine: tuple[str, str], model: Path, data: Path, *options: str | Path) -> Ran:
    wish = ("--precision", "int8", "--input", data / "judged.npz", *options, "--json")
    return envctl("run", *engine, *HERE, "verify", model, *wish)


def test_openvino_is_quantised_by_nncf_and_computes_in_int8(envctl: Program, digits: Path, data: Path) -> None:
    """Calibrated on a folder of images; the layers that are int8 are counted in the runtime model."""
    images = ("--calibration", data / "images", "--preprocess", "scale=240 order=gray layout=nchw")
    ran = int8(envctl, ("--openvino", "2026.4"), digits, data, *images)
    assert (ran.code, ran.json["status"], ran.json["precision"]) == (0, "passed", "int8"), ran.err
    assert ran.json["steps"]["types"]["read_back"]["calibration_samples"] == "40"
    layers = ran.json["layers"]
    assert layers["int8"] >= 3 and layers["model"] == 8 and layers["told_by"].startswith("OpenVINO's runtime model")
    assert any("40 images: 8x8 nchw gray, / 240" in note for note in ran.json["notes"])
    worst = ran.json["verdict"]["differences"][0]
    assert 1e-4 < worst["max_abs"] and worst["cosine"] > 0.99


def test_onnxruntime_fuses_and_the_warning_counts_shared_samples(envctl: Program, digits: Path, data: Path) -> None:
    module = data / "mine.py"
    told = f"numpy.load({str(data / 'judged.npz')!r})['image'][:7]"
    module.write_text(f"import numpy\n\ndef some():\n    yield from {told}\n")
    ran = int8(envctl, ("--ort", "1.31"), digits, data, "--calibrate", f"{module}:some")
    assert (ran.code, ran.json["precision"], ran.json["layers"]["int8"]) == (0, "int8", 4), ran.err
    assert any(note.startswith("warning: 7 of the 60 samples") for note in ran.json["notes"])


def test_an_engine_without_int8_says_why(envctl: Program, digits: Path, data: Path) -> None:
    ran = int8(envctl, ("--ncnn", "1.0"), digits, data, "--calibration", data / "calibration.npz")
    assert ran.code == 2 and "ncnn2int8" in ran.out and "https://github.com/Tencent/ncnn" in ran.out


def test_a_release_without_a_way_to_int8_is_refused_before_anything_is_made(
    envctl: Program, digits: Path, data: Path
) -> None:
    ran = int8(envctl, ("--openvino", "2023.3"), digits, data, "--calibration", data / "calibration.npz")
    assert ran.code == 3 and "2023.3" in ran.out and ">=2024.4" in ran.out


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ((), "needs samples to calibrate on"),
        (("--calibration", "nowhere.py:some"), "no such file: nowhere.py"),
        (("--calibration", "{data}/images"), "--preprocess is needed"),
        (("--calibration", "{data}/calibration.npz", "--preprocess", "scale=2"), "for a folder of images"),
    ],
)
def test_bad_wishes_end_early(envctl: Program, digits: Path, data: Path, options: tuple[str, ...], word: str) -> None:
    ran = int8(envctl, ("--ort", "1.31"), digits, data, *(each.format(data=data) for each in options))
    assert ran.code == 2 and word in ran.out


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.17", "1.20"])
def test_older_onnxruntimes_have_both_ways_too(envctl: Program, digits: Path, data: Path, version: str) -> None:
    ran = int8(envctl, ("--ort", version), digits, data, "--calibration", data / "calibration.npz")
    assert (ran.code, ran.json["precision"], ran.json["layers"]["int8"]) == (0, "int8", 4), ran.err
    halved = envctl("run", "--ort", version, *HERE, "verify", digits, "--precision", "fp16", "--json")
    assert (halved.code, halved.json["precision"]) == (0, "fp16"), halved.err
    # the CPU has no kernels for it: the weights are rounded, float32 is computed, and the result says so
    assert halved.json["steps"]["infer"]["read_back"]["float16_kernels"] == "0"


@pytest.mark.slow
def test_openvino_2024_is_quantised_by_an_older_nncf(envctl: Program, digits: Path, data: Path) -> None:
    ran = int8(envctl, ("--openvino", "2024.6"), digits, data, "--calibration", data / "calibration.npz")
    assert (ran.code, ran.json["precision"]) == (0, "int8"), ran.err
    assert ran.json["target"]["locked"]["packages"]["nncf"] == "2.14.1"


@pytest.mark.slow
@pytest.mark.parametrize("engine", [("--litert", "2.3"), ("--openvino", "2026.4"), ("--ort", "1.31")])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_trained_keras_unet_below_float32(
    envctl: Program, unet: Path, engine: tuple[str, str], precision: str
) -> None:
    """From TensorFlow's own file, through its route, judged by TensorFlow."""
    calibrated = ("--calibration", unet / "calibration.npz") if precision == "int8" else ()
    wish = ("--precision", precision, "--input", unet / "judged.npz", *calibrated, "--json")
    ran = envctl("run", *engine, *HERE, "verify", unet / "model.keras", *wish)
    assert (ran.code, ran.json["status"], ran.json["precision"]) == (0, "passed", precision), ran.err
    if engine[0] == "--litert" and precision == "int8":
        assert ran.json["steps"]["infer"]["read_back"]["quantisation"] == "full"
        assert ran.json["steps"]["route"]["read_back"]["calibration_samples"] == "32"


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    ran = run_envctl("run", "--tf", "2.20", *HERE, "--", "python", str(MAKER), str(folder), "unet")
    assert ran.code == 0, ran.err
    return folder / "unet"


@pytest.mark.slow
def test_a_tflite_file_is_not_quantised(envctl: Program, unet: Path) -> None:
    """It has its precision: the framework's model is what can be quantised."""
    ask = ("run", "--litert", "2.3", *HERE)
    made = envctl(*ask, "convert", unet / "model.keras", "-o", unet / "out", "--json").json["artifacts"][0]
    ran = envctl(*ask, "verify", made, "--precision", "int8", "--calibration", unet / "calibration.npz")
    assert ran.code == 2 and "in the precision that it has, which is fp32" in ran.err
