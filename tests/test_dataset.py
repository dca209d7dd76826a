"""`--dataset` with `--metric`, through the program: real engines, files and images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envctl import model
from envctl.errors import BadInput
from envctl.report import error_text
from envctl.workflow import dataset
from envctl.workflow.ask import Ask
from tests.conftest import Ran, run_envctl
from tests.models import digits as maker

ENGINE = ("--openvino", "2026.4", "--runner", "local")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Held-out digits with their labels, as arrays and as images in folders of classes, and datasets with faults."""
    path = tmp_path_factory.mktemp("dataset")
    x, y = maker.samples(200)
    np.savez(path / "good.npz", x=x, y=y)
    np.savez(path / "named.npz", image=x, labels=y)
    np.savez(path / "shape.npz", x=x[:, :, :7], y=y)
    np.savez(path / "type.npz", x=x.astype(np.float64), y=y)
    np.savez(path / "few.npz", x=x, y=y[:50])
    np.savez(path / "classes.npz", x=x, y=y + 5)
    np.savez(path / "unlabelled.npz", x=x)
    np.savez(path / "other.npz", a=x, b=x, y=y)
    write_images(path / "images", 20)
    (path / "flat").mkdir()
    (path / "flat" / "one.pgm").write_bytes((path / "images" / str(y[0]) / "0.pgm").read_bytes())
    (path / "metrics.py").write_text(SCORES, encoding="utf-8")
    return path


def write_images(to: Path, count: int) -> None:
    """Digits as images of the plainest kind, in a folder for each class."""
    for index, (pixels, label) in enumerate(zip(*maker.samples(count), strict=True)):
        (to / str(label)).mkdir(parents=True, exist_ok=True)
        grey = (pixels[0] * 255).astype(np.uint8)
        (to / str(label) / f"{index}.pgm").write_bytes(b"P5 8 8 255\n" + grey.tobytes())


SCORES = """
def right(outputs, labels):
    return outputs["probabilities"].reshape(len(labels), -1).argmax(axis=1) == labels

def single(outputs, labels):
    return 0.5
"""


def verify(model: Path, *more: str | Path) -> Ran:
    """`envctl run --openvino 2026.4 verify MODEL …`."""
    return run_envctl("run", *ENGINE, "verify", model, *more)


@pytest.mark.engines
def test_the_metric_of_both_is_the_models_own_with_its_interval(digits: Path, folder: Path) -> None:
    ran = verify(digits, "--dataset", folder / "good.npz", "--metric", "top1", "--json")
    assert ran.code == 0, ran.err
    found = ran.json["metric"]
    assert found["samples"] == 200
    assert found["reference"] == found["target"] >= maker.LEAST_ACCURACY
    assert found["output"] == "probabilities"
    assert -0.05 < found["low"] < found["drop"] == 0 < found["high"] < 0.05
    assert ran.json["inputs"] == f"200 samples of {folder / 'good.npz'}"


@pytest.mark.engines
def test_a_worse_model_shows_a_drop_that_is_sure(digits: Path, folder: Path, tmp_path: Path) -> None:
    worse = tmp_path / "worse.onnx"
    damage(digits, worse)
    ran = verify(
        worse,
        "--reference",
        digits,
        "--dataset",
        folder / "named.npz",
        "--metric",
        f"{folder}/metrics.py:right",
        "--json",
    )
    assert ran.code == 1, "the outputs differ by far more than float32 does"
    found = ran.json["metric"]
    assert found["reference"] >= maker.LEAST_ACCURACY
    assert found["drop"] == pytest.approx(found["reference"] - found["target"])
    assert 0 < found["low"] < found["drop"] < found["high"]
    assert found["method"].startswith("paired bootstrap")


def damage(model: Path, to: Path) -> None:
    """The model with half of its first layer's weights gone."""
    import onnx
    from onnx import numpy_helper

    loaded = onnx.load(model)
    first = max((each for each in loaded.graph.initializer if len(each.dims) == 4), key=lambda each: each.dims[0])
    weights = numpy_helper.to_array(first).copy()
    weights[::2] = 0
    first.CopyFrom(numpy_helper.from_array(weights, first.name))
    onnx.save(loaded, to)


@pytest.mark.engines
def test_folders_of_classes_are_a_dataset(digits: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "images", 40)
    images = ("--dataset", tmp_path / "images", "--metric", "top1", "--preprocess", "scale=255")
    ran = verify(digits, *images, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["metric"]["samples"] == 40
    assert ran.json["metric"]["reference"] >= 0.9
    assert "10 classes, in the order of their folders' names" in ran.json["inputs"]


@pytest.mark.parametrize(
    ("name", "metric", "said"),
    [
        ("shape.npz", "top1", ["the dataset's samples do not fit", "each sample of image is 1x7x8"]),
        ("type.npz", "top1", ["the dataset's image is float64", "envctl changes no values"]),
        ("few.npz", "top1", ["not as many labels as samples", "image: 200, labels: 50"]),
        ("unlabelled.npz", "top1", ["has no labels"]),
        ("other.npz", "top1", ["is not for this model's inputs (image)"]),
        ("good.npz", "", ["--dataset needs a metric", "top1, miou, cosine"]),
        ("good.npz", "f1", ["--metric 'f1' is unknown"]),
        ("good.npz", "nowhere.py:f1", ["no such file: nowhere.py"]),
        ("nowhere.npz", "top1", ["no such file"]),
        ("images", "miou", ["folders of classes say nothing"]),
        ("flat", "top1", ["lie in no folders of classes"]),
    ],
)
def test_a_dataset_that_is_no_good_is_one_error_before_anything_is_made(
    digits: Path, folder: Path, name: str, metric: str, said: list[str]
) -> None:
    scaled = "scale=255" if "npz" not in name else ""
    ask = Ask(task="verify", engine="openvino", pins=(), dataset=str(folder / name), metric=metric, preprocess=scaled)
    with pytest.raises(BadInput) as error:
        dataset.check(ask, model.read(digits))
    told = error_text(error.value)
    for text in said:
        assert text in told


def test_an_error_of_the_dataset_ends_the_program_with_code_2(digits: Path, folder: Path) -> None:
    ran = verify(digits, "--dataset", folder / "shape.npz", "--metric", "top1")
    assert ran.code == 2
    assert ran.err.startswith("error: the dataset's samples do not fit"), "nothing was begun before"


def test_samples_are_cut_into_batches_and_what_is_left_over_is_told(digits: Path, folder: Path) -> None:
    ask = Ask(task="verify", engine="openvino", pins=(), dataset=str(folder / "good.npz"), metric="top1")
    tensor = model.read(digits).inputs[0]
    array = np.zeros((200, 1, 8, 8), np.float32)
    assert dataset.batches(array, tensor, {})[0].shape == (200, 1, 1, 8, 8)
    assert dataset.batches(array, tensor, {"image": (64, 1, 8, 8)})[0].shape == (3, 64, 1, 8, 8)
    with pytest.raises(BadInput, match="fewer than a batch of 512"):
        dataset.batches(array, tensor, {"image": (512, 1, 8, 8)})
    work = replace(ask, shapes={"image": (64, 1, 8, 8)})
    labelled = dataset.read_files(work, model.read(digits))
    assert len(labelled.labels) == 192
    assert labelled.said.endswith("8 left over by the batches")


@pytest.mark.engines
def test_what_only_the_run_can_tell_is_one_error_too(digits: Path, folder: Path) -> None:
    ran = verify(digits, "--dataset", folder / "good.npz", "--metric", f"{folder}/metrics.py:single")
    assert ran.code == 2
    assert ran.err.count("error:") == 1
    assert "single gave float64[], not a score for each of 200 samples" in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metric": "top1"}, "--metric is taken on labelled samples"),
        ({"dataset": "good.npz", "metric": "top1", "input": Path("x.npz")}, "--dataset gives the samples"),
        ({"dataset": "good.npz", "metric": "top1", "verify": False}, "--no-verify leaves out"),
        ({"dataset": "seeded", "metric": "top1"}, "labelled samples lie in files"),
    ],
)
def test_options_that_exclude_each_other_are_refused(digits: Path, options: dict[str, Any], said: str) -> None:
    ask = Ask(task="verify", engine="openvino", pins=(), **options)
    with pytest.raises(BadInput, match=said):
        dataset.check(ask, model.read(digits))
