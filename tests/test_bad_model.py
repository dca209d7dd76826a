"""The header reader against files that are no models, broken, or hostile: `BadInput` in words, and nothing else."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from envctl import model
from envctl.errors import BadInput
from tests.models import bad as bad_models
from tests.test_model import put, small

MUTATIONS = 1500
# file of tests/models/bad.py -> words that must stand in the refusal; those in ACCEPTED are models
WORDS = {
    "truncated": "truncated or damaged ONNX model",
    "html": "an HTML or XML page",
    "lfs_pointer": "a Git LFS pointer",
    "empty": "is empty",
    "random_bytes": "is not an ONNX model",
    "external_missing": "'lost.bin', which is missing",
    "external_escaping": "outside its folder: '../../etc/passwd'",
    "external_absolute": "outside its folder: '/etc/passwd'",
    "pickled": "a Python pickle",
    "zipped": "a zip archive",
    "huge_claim": "truncated or damaged ONNX model",
    "deep": "truncated or damaged ONNX model",
}
READABLE = {*bad_models.ACCEPTED, "ir_too_high"}  # an engine's ceiling is for the solver to say


@pytest.mark.parametrize("name", [maker.__name__ for maker in bad_models.MAKERS])
def test_each_bad_file_is_refused_in_its_own_words_or_is_a_model(bad: dict[str, Path], name: str) -> None:
    if name in READABLE:
        assert model.read(bad[name]).ops
        return
    with pytest.raises(BadInput) as caught:
        model.read(bad[name])
    assert WORDS[name] in caught.value.what
    assert str(bad[name]) in caught.value.what
    assert caught.value.do, "a refusal says what to do"


def test_ceilings_are_read_from_the_header(bad: dict[str, Path]) -> None:
    assert model.read(bad["opset_too_high"]).opsets == {"ai.onnx": 99}
    assert model.read(bad["ir_too_high"]).ir == 99


@pytest.mark.parametrize("location", ["w" * 300, "w\0.bin", "", ".", "a/../../w.bin", "loop/w.bin", "link.bin"])
def test_no_external_location_surprises_the_reader(tmp_path: Path, location: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link.bin").symlink_to("/etc/passwd")
    path = bad_models.external(tmp_path / "model.onnx", location)
    with pytest.raises(BadInput, match="keeps weights"):
        model.read(path)


@pytest.mark.parametrize("changes", [{"ir_version": -1}, {"ir_version": 0}], ids=str)
def test_versions_below_one_are_no_model(tmp_path: Path, changes: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="ONNX model"):
        model.read(put(tmp_path, small(**changes)))


def test_a_negative_opset_is_no_model(tmp_path: Path) -> None:
    made = small()
    made.opset_import[0].version = -3
    with pytest.raises(BadInput, match="ONNX model"):
        model.read(put(tmp_path, made))


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.onnx")
    for path, words in {
        tmp_path / "no.onnx": "no such file",
        tmp_path: "is a folder",
        tmp_path / "fifo.onnx": "no regular file",
        Path("/dev/zero"): "no regular file",
        tmp_path / "no.onnx" / "x.onnx": "no such file",
        tmp_path / ("x" * 300): "cannot read",
        tmp_path / "x\0": "cannot read",
    }.items():
        with pytest.raises(BadInput) as caught:
            model.read(path)
        assert words in caught.value.what


def spoiled(whole: bytes, random_: random.Random) -> bytes:
    """The bytes with one to three mistakes: cut off, a byte changed, a stretch left out, doubled or overwritten."""
    content = bytearray(whole)
    for _ in range(random_.randint(1, 3)):
        # three of four strike where the structure is, not inside the weights
        top = len(content) if random_.random() < 0.25 else min(len(content), 600)
        at, length = random_.randrange(top), random_.randint(1, 16)
        kind = random_.randrange(5)
        if kind == 0:
            del content[at:]
        elif kind == 1:
            content[at] = random_.randrange(256)
        elif kind == 2:
            del content[at : at + length]
        elif kind == 3:
            content[at:at] = content[at : at + length]
        else:
            content[at : at + length] = random_.randbytes(length)
        if not content:
            return b"\0"
    return bytes(content)


def test_no_spoiled_model_raises_anything_but_bad_input(digits: Path, bad: dict[str, Path], tmp_path: Path) -> None:
    """Seeded: a failure names its seed. Some stay readable, most are refused."""
    originals = [digits.read_bytes(), bad["external"].read_bytes(), bad["local_function"].read_bytes()]
    path, refused = tmp_path / "spoiled.onnx", 0
    for seed in range(MUTATIONS):
        random_ = random.Random(seed)
        path.write_bytes(spoiled(originals[seed % len(originals)], random_))
        try:
            facts = model.read(path)
            str(facts.inputs), facts.precision(), facts.foreign_ops(frozenset({"ai.onnx"}))
        except BadInput:
            refused += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    assert MUTATIONS * 0.2 < refused < MUTATIONS


def test_every_truncation_of_a_small_model_is_refused(bad: dict[str, Path], tmp_path: Path) -> None:
    """Cut between two top-level fields the rest may parse; without its opset (written last) it is still no model."""
    whole, path = bad["custom_op"].read_bytes(), tmp_path / "cut.onnx"
    opsets = whole.rindex(b"\x42")  # the last opset entry: without it com.acme's version is all that is missing
    for length in range(opsets):
        path.write_bytes(whole[:length])
        try:
            facts = model.read(path)
        except BadInput:
            continue
        raise AssertionError(f"{length} of {len(whole)} bytes were taken for a model: {facts}")
