"""Input arrays: seeded ones are the same everywhere, the user's are checked and never changed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envctl.errors import BadInput
from envctl.model import Tensor
from envctl.verify.inputs import checked, concrete, seeded

Array = np.ndarray[Any, np.dtype[Any]]


def tensor(*shape: int | None, name: str = "x", dtype: str = "float32") -> Tensor:
    """An input of a model."""
    return Tensor(name=name, dtype=dtype, shape=shape)


IMAGE = tensor(None, 3, 8, 8, name="image")
ONE = tensor(1, 3, 8, 8, name="image")
NO_SHAPE = Tensor(name="x", dtype="float32", shape=None)


def draw(*tensors: Tensor, seed: int = 0, samples: int = 4) -> dict[str, Array]:
    """Seeded arrays without shapes of the user's."""
    return seeded(tensors, {}, seed=seed, samples=samples)


# --- shapes


def test_open_sizes_are_one_unless_asked_for() -> None:
    assert concrete(IMAGE, {}) == (1, 3, 8, 8)
    assert concrete(IMAGE, {"image": (5, 3, 8, 8)}) == (5, 3, 8, 8)
    assert concrete(tensor(), {}) == ()


@pytest.mark.parametrize("asked", [(1, 3, 8, 9), (3, 8, 8), (1, 1, 3, 8, 8), ()])
def test_a_shape_that_does_not_fit_is_refused(asked: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="does not fit the model's image"):
        concrete(IMAGE, {"image": asked})


def test_an_input_without_shape_needs_one() -> None:
    with pytest.raises(BadInput, match="input x has no shape") as caught:
        concrete(NO_SHAPE, {})
    assert "--shape x=" in caught.value.do[0]


# --- seeded


def test_the_same_seed_gives_the_same_bits_and_another_gives_others() -> None:
    first, again, other = (draw(IMAGE, seed=seed)["image"] for seed in (7, 7, 8))
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert first.shape == (4, 1, 3, 8, 8)
    assert not np.array_equal(first[0], first[1]), "every sample is another one"


def test_known_values_of_seed_zero() -> None:
    """The seed is written into sidecars: a change of the recipe would make old results lie."""
    assert draw(tensor(3), samples=1)["x"][0].tolist() == pytest.approx(KNOWN, abs=1e-7)


KNOWN = [-0.7512057, -0.8608628, 0.9383271]


def test_another_input_beside_it_changes_nothing() -> None:
    alone, both = draw(IMAGE)["image"], draw(tensor(2, name="a"), IMAGE)["image"]
    assert np.array_equal(alone, both)


def test_fewer_samples_are_the_first_of_more() -> None:
    assert np.array_equal(draw(IMAGE, samples=2)["image"], draw(IMAGE, samples=5)["image"][:2])


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "uint16", "bool"]
)
def test_values_have_the_declared_type_and_vary(dtype: str) -> None:
    made = draw(tensor(100, dtype=dtype))["x"]
    assert made.dtype == dtype
    assert len(np.unique(made)) >= 2
    if "int" in dtype:
        assert made.min() >= 0 and made.max() <= 9, "a small vocabulary, which any embedding has"


@pytest.mark.parametrize("dtype", ["str", "bfloat16", "int4", "uint2", "complex64", "float8_e4m3fn", "sequence", ""])
def test_types_that_cannot_be_drawn_are_refused(dtype: str) -> None:
    with pytest.raises(BadInput, match="cannot make seeded values for input x") as caught:
        draw(tensor(4, dtype=dtype))
    assert "--input" in caught.value.do[0]


def test_what_does_not_fit_into_memory_is_refused_before_it_is_made() -> None:
    with pytest.raises(BadInput, match="too large"):
        draw(tensor(1, 1 << 20, 1 << 20))
    with pytest.raises(BadInput, match="too large"):
        draw(tensor(*[1 << 16] * 4), samples=1)


# --- the user's


@pytest.mark.parametrize(
    ("declared", "given", "samples"),
    [
        (ONE, (7, 1, 3, 8, 8), (7, 1, 3, 8, 8)),
        (ONE, (1, 3, 8, 8), (1, 1, 3, 8, 8)),
        (ONE, (7, 3, 8, 8), (7, 1, 3, 8, 8)),
        (IMAGE, (7, 3, 8, 8), (1, 7, 3, 8, 8)),
        (IMAGE, (4, 7, 3, 8, 8), (4, 7, 3, 8, 8)),
        (tensor(name="image"), (), (1,)),
        (tensor(name="image"), (5,), (5,)),
        (Tensor(name="image", dtype="float32", shape=None), (2, 3), (1, 2, 3)),
    ],
    ids=str,
)
def test_samples_stand_first(declared: Tensor, given: tuple[int, ...], samples: tuple[int, ...]) -> None:
    array = np.arange(np.prod(given, dtype=int), dtype=np.float32).reshape(given)
    taken = checked({"image": array}, (declared,))["image"]
    assert taken.shape == samples
    assert np.array_equal(taken.ravel(), array.ravel()), "no value moves"


@pytest.mark.parametrize(
    "shape",
    [(8, 8, 3), (1, 8, 8, 3), (7, 8, 8, 3), (3, 8, 8), (0, 3, 8, 8), (0, 1, 3, 8, 8), (), (192,), (2, 2, 1, 3, 8, 8)],
    ids=str,
)
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    """A picture with its channels last, no sample at all, a number: never reshaped to fit."""
    with pytest.raises(BadInput, match="input image"):
        checked({"image": np.zeros(shape, np.float32)}, (ONE,))


@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8", ">f4", "U5"])
def test_a_wrong_type_is_refused_not_converted(dtype: str) -> None:
    with pytest.raises(BadInput, match="the model wants float32") as caught:
        checked({"image": np.zeros((1, 3, 8, 8), dtype)}, (ONE,))
    assert "changes no values" in caught.value.do[0]


def test_names_must_be_the_model_s() -> None:
    good = np.zeros((1, 3, 8, 8), np.float32)
    with pytest.raises(BadInput, match="has 'imgae', which the model has not") as caught:
        checked({"imgae": good}, (ONE,))
    assert caught.value.do == ["did you mean image?"]
    with pytest.raises(BadInput, match="lacks mask"):
        checked({"image": good}, (ONE, tensor(2, name="mask")))


def test_all_inputs_have_as_many_samples() -> None:
    given = {"image": np.zeros((3, 1, 3, 8, 8), np.float32), "mask": np.zeros((2, 4), np.float32)}
    with pytest.raises(BadInput, match="different numbers of samples"):
        checked(given, (ONE, tensor(4, name="mask")))


# --- .npz files, as the program meets them


def broken_zip(path: Path) -> None:
    """Compressed bytes spoiled in the middle."""
    np.savez_compressed(path, image=np.arange(10000.0))
    content = bytearray(path.read_bytes())
    content[250:300] = b"\xff" * 50
    path.write_bytes(content)


def foreign_entry(path: Path) -> None:
    """A zip whose entry bears the input's name and is no array."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("image", "hello")


def single_array(path: Path) -> None:
    """An .npy under the other name."""
    with path.open("wb") as stream:
        np.save(stream, np.zeros((1, 1, 8, 8), np.float32))


FILES: dict[str, Callable[[Path], object]] = {
    "a single array": single_array,
    "spoiled": broken_zip,
    "no array inside": foreign_entry,
    "empty": Path.touch,
    "a folder": Path.mkdir,
    "objects": lambda path: np.savez(path, image=np.array([{}], dtype=object)),
}


@pytest.mark.engines
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_holds_no_arrays_is_refused(envctl: Callable, digits: Path, tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / "in.npz")
    ran = envctl("run", "--runner", "local", "--ort", "1.31", "infer", digits, "--input", "in.npz")
    assert ran.code == 2, ran.err
    assert "error: " in ran.err and "Traceback" not in ran.err
