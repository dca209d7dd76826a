"""Samples from files, images and people's functions: decoded in a real worker, with real Pillow, as the model wants."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from envctl import host, samples
from envctl.environment import Environment
from envctl.errors import BadInput, JobFailed
from envctl.model import Tensor
from envctl.runner.local import LocalRunner
from envctl.workflow.ask import Ask
from envctl.workflow.samples import Place, Samples, check, environment, read
from tests.engine_jobs import ROOMY, Mute

COLOUR = (Tensor(name="image", dtype="float32", shape=(None, 3, 4, 6), layout="NCHW"),)
LAST = (Tensor(name="image", dtype="float32", shape=(1, 4, 6, 3), layout="NHWC"),)
GRAY = (Tensor(name="image", dtype="uint8", shape=(1, 1, 4, 6)),)
Pixels = NDArray[np.uint8]


def ppm(path: Path, pixels: Pixels) -> Pixels:
    """Write [height, width, 3] as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P6 %d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes())
    return pixels


def png(path: Path, pixels: NDArray[np.uint16] | Pixels, depth: int, colour: int) -> None:
    """Write a PNG by hand (https://www.w3.org/TR/png/)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(f">u{depth // 8}"))
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def random_pixels(seed: int, *shape: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def reader() -> Environment:
    """The environment that reads samples, as a run makes it."""
    ask = Ask(task="verify", engine="onnxruntime", pins=())
    return environment("3.11", None, ask, host.read_host(), LocalRunner(), Mute().say)


def done(reader: Environment, folder: Path, place: Path | str, tensors: tuple[Tensor, ...], said: str = "") -> Samples:
    return read(Place(place=str(place), preprocess=said), tensors, reader, LocalRunner(), folder / "job", ROOMY)


@pytest.mark.engines
def test_images_become_what_the_preprocessing_says(reader: Environment, tmp_path: Path) -> None:
    """Channels first and blue first, with a mean and a deviation a channel; classes from the folders, in order."""
    shown = [
        ppm(tmp_path / "data" / name, random_pixels(seed, 4, 6, 3)) for seed, name in enumerate(["b/x.ppm", "a/y.ppm"])
    ]
    found = done(reader, tmp_path, tmp_path / "data", COLOUR, "scale=255 mean=0.1,0.2,0.3 std=0.5,0.4,0.25 order=bgr")
    wanted = (shown[1][:, :, ::-1].astype(np.float32) / np.float32(255) - np.float32([0.1, 0.2, 0.3])) / np.float32(
        [0.5, 0.4, 0.25]
    )
    assert found.arrays["image"].shape == (2, 1, 3, 4, 6)
    np.testing.assert_array_equal(found.arrays["image"][0, 0], wanted.transpose(2, 0, 1))
    assert (found.labels, found.classes) == ((0, 1), ("a", "b"))
    assert "2 images: 4x6 nchw bgr, / 255, - 0.1,0.2,0.3, / 0.5,0.4,0.25, bilinear" in found.said


@pytest.mark.engines
def test_an_image_of_another_size_is_stretched_or_its_middle_is_taken(reader: Environment, tmp_path: Path) -> None:
    image = np.zeros((4, 12, 3), np.uint8)
    image[:, 3:9] = 200
    ppm(tmp_path / "data" / "wide.ppm", image)
    stretched = done(reader, tmp_path / "1", tmp_path / "data", LAST, "resize=nearest").arrays["image"][0, 0]
    middle = done(reader, tmp_path / "2", tmp_path / "data", LAST, "resize=nearest fit=crop").arrays["image"][0, 0]
    assert (middle == 200).all()
    assert (stretched[:, 2:4] == 200).all() and (stretched[:, [0, 5]] == 0).all()


@pytest.mark.engines
def test_gray_bytes_stay_bytes_and_sixteen_bits_are_refused(reader: Environment, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pixels = random_pixels(1, 4, 6)
    png(tmp_path / "data" / "a.png", pixels, 8, 0)
    found = done(reader, tmp_path, tmp_path / "data", GRAY, "layout=nchw")
    assert (found.arrays["image"].dtype, found.labels) == (np.uint8, ())
    np.testing.assert_array_equal(found.arrays["image"][0, 0, 0], pixels)
    png(tmp_path / "data" / "b.png", pixels.astype(np.uint16) * 257, 16, 0)
    with pytest.raises(BadInput, match="cannot be read") as refused:
        done(reader, tmp_path / "again", tmp_path / "data", GRAY, "layout=nchw")
    assert "b.png has more than 8 bits a channel" in refused.value.because[0].text


@pytest.mark.engines
def test_what_is_no_image_is_named(reader: Environment, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "page.jpg").write_text("<html>not found</html>")
    with pytest.raises(BadInput) as refused:
        done(reader, tmp_path, tmp_path / "data", COLOUR, "scale=255")
    assert "page.jpg cannot be read" in refused.value.because[0].text


ENTRIES = """
import os
import numpy as np

def one_by_one():
    for index in range(3):
        yield np.full((1, 3, 4, 6), index, "float32")

def together():
    return {"image": np.ones((2, 1, 3, 4, 6), "float32")}

def writes():
    open(os.path.join(os.path.dirname(__file__), "written"), "w")

def none():
    return iter(())
"""


@pytest.mark.engines
def test_a_function_gives_samples_and_is_shut_in(reader: Environment, tmp_path: Path) -> None:
    module = tmp_path / "mine.py"
    module.write_text(ENTRIES)
    found = done(reader, tmp_path / "1", f"{module}:one_by_one", COLOUR)
    assert found.arrays["image"][:, 0, 0, 0, 0].tolist() == [0, 1, 2]
    assert done(reader, tmp_path / "2", f"{module}:together", COLOUR).count == 2
    with pytest.raises(JobFailed) as failed:
        done(reader, tmp_path / "3", f"{module}:writes", COLOUR)
    assert "Permission" in failed.value.because[0].text and not (tmp_path / "written").exists()
    for name in ("none", "missing"):
        with pytest.raises(BadInput):
            done(reader, tmp_path / name, f"{module}:{name}", COLOUR)


@pytest.mark.parametrize(
    ("said", "tensors", "word"),
    [
        ("scale", COLOUR, "not NAME=VALUE"),
        ("scal=255", COLOUR, "'scal'"),
        ("scale=0", COLOUR, "cannot be read"),
        ("mean=1,2", COLOUR, "does not suit"),
        ("order=gray", COLOUR, "does not suit"),
        ("size=8x8", COLOUR, "does not suit"),
        ("scale=255", GRAY, "where its channels are"),
        ("scale=255 layout=nchw", GRAY, "cannot become uint8"),
        ("scale=255", (*COLOUR, *COLOUR), "one input of four sizes"),
        ("", COLOUR, "--preprocess is needed"),
    ],
)
def test_preprocessing_that_does_not_suit_is_refused_before_anything_is_made(
    tmp_path: Path, said: str, tensors: tuple[Tensor, ...], word: str
) -> None:
    ppm(tmp_path / "a.ppm", random_pixels(0, 4, 6, 3))
    with pytest.raises(BadInput) as refused:
        check(Place(place=str(tmp_path), preprocess=said), tensors)
    assert word in str(refused.value)


def test_a_toml_file_says_the_same_as_words(tmp_path: Path) -> None:
    file = tmp_path / "pre.toml"
    file.write_text('size = [4, 6]\nscale = 255\nmean = [0.5, 0.5, 0.5]\nlayout = "NCHW"\n')
    words = samples.read_preprocessing("size=4x6 scale=255 mean=0.5,0.5,0.5 layout=nchw")
    assert samples.read_preprocessing(str(file)) == words


def test_samples_that_are_shared_are_counted_whatever_lies_between() -> None:
    calibrated = {"x": np.arange(12.0).reshape(4, 3), "y": np.arange(4)}
    judged = {"y": np.array([9, 2, 3]), "x": np.arange(3.0, 12.0).reshape(3, 3)}
    assert samples.shared(judged, calibrated) == (2, 3)
    images = np.arange(16.0).reshape(4, 1, 4)
    assert samples.shared({"x": images}, {"x": images[1:3].reshape(1, 2, 4)}) == (2, 4)
    assert samples.identity(calibrated) != samples.identity({**calibrated, "y": np.arange(4)[::-1]})


def test_files_are_taken_evenly_and_classes_are_folders() -> None:
    files = [f"{name}/{index}.png" for name in "abc" for index in range(10)]
    taken = samples.spread(files, 6)
    assert [name[0] for name in taken] == ["a", "a", "b", "b", "c", "c"]
    assert samples.labels(taken) == ([0, 0, 1, 1, 2, 2], ["a", "b", "c"])
    assert samples.labels([*taken, "d.png"]) == ([], [])
