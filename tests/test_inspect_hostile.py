"""`envctl inspect` on impostors, hostile files and spoiled ones: facts or one error in words, and an end."""

from __future__ import annotations

import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from envctl import model
from envctl.errors import BadInput
from envctl.model import protobuf
from envctl.model.names import chosen
from tests.inspected import SAID, SMALL, TF, zipped
from tests.models import bad as bad_models

IMPOSTORS = {
    "empty": "is empty",
    "html": "an HTML or XML page",
    "lfs_pointer": "a Git LFS pointer",
    "random_bytes": "no model of a format",
    "zipped": "no model of Keras or torch",
    "truncated": "truncated or damaged ONNX model",
    "external_escaping": "outside its folder",
    "external_absolute": "outside its folder",
    "huge_claim": "truncated or damaged ONNX model",
    "deep": "truncated or damaged ONNX model",
}


@pytest.mark.parametrize("name", IMPOSTORS)
def test_an_impostor_is_refused_in_words(bad: dict[str, Path], name: str) -> None:
    with pytest.raises(BadInput, match=IMPOSTORS[name]) as caught:
        model.inspect(bad[name])
    assert str(bad[name]) in caught.value.what and caught.value.do


def test_text_and_other_files_are_no_models(tmp_path: Path) -> None:
    for content in (
        b"hello",
        b"{}",
        b"x" * 5000,
        b"\x08",
        b"\x0a",
        b"\x08\x01\x12",
        b"GGUF\3\0\0\0",
        b"node",
        b"node {",
    ):
        with pytest.raises(BadInput):
            model.inspect(bad_models.put(tmp_path / "x", content))


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    bomb = {"metadata.json": b"{}", "config.json": b" " * (17 << 20)}
    with pytest.raises(BadInput) as caught:
        model.inspect(zipped(tmp_path / "a.keras", bomb))
    assert "config.json of 17,825,792 bytes" in caught.value.because[0].text
    # the directory lies about the size
    whole = bytearray((tmp_path / "a.keras").read_bytes())
    at = whole.rindex(b"PK\1\2")
    whole[at + 24 : at + 28] = (100).to_bytes(4, "little")
    with pytest.raises(BadInput):
        model.inspect(bad_models.put(tmp_path / "b.keras", bytes(whole)))


def test_a_list_of_members_that_never_ends_is_refused(tmp_path: Path) -> None:
    whole = bytearray(zipped(tmp_path / "a.zip", {"a": b""}).read_bytes())
    at = whole.rindex(b"PK\5\6")
    whole[at + 12 : at + 16] = (1 << 31).to_bytes(4, "little")
    with pytest.raises(BadInput) as caught:
        model.inspect(bad_models.put(tmp_path / "a.zip", bytes(whole)))
    assert "a list of members of 2,147,483,648 bytes" in caught.value.because[0].text


def test_xml_with_entities_is_refused(tmp_path: Path) -> None:
    laughs = '<!DOCTYPE net [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>\n<net name="&b;" version="11"><layers/></net>'
    with pytest.raises(BadInput) as caught:
        model.inspect(bad_models.put(tmp_path / "a.xml", laughs.encode()))
    assert "declares a document type" in caught.value.because[0].text


HOSTILE: dict[str, Callable[[], bytes]] = {
    "json": lambda: b'{"a":' * 200_000,
    "pbtxt": lambda: b"node { attr { value { " * 100_000,
    "xml": lambda: b'<net version="11"><layers>' + b"<layer>" * 100_000,
    "marks": lambda: b"\x80\x04" + b"(" * 200_000 + b".",
    "tuples": lambda: b"\x80\x04" + b")" + b"\x85" * 200_000 + b".",
    "doubling": lambda: b"\x80\x04" + b")" + b"2\x86" * 60 + b".",  # 2 to the 60th, were it walked
    "ncnn": lambda: b"7767517\n99999999 5\n",
    "tflite": lambda: struct.pack("<I4sI", 8, b"TFL3", 0xFFFFFFF0),
    "hdf5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(88),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nesting_and_counts_have_an_end(name: str, tmp_path: Path) -> None:
    path = bad_models.put(tmp_path / name, HOSTILE[name]())
    if name in ("tuples", "doubling", "marks"):  # a pickle it is, if a senseless one
        assert model.inspect(path).format == "pickle"
        return
    with pytest.raises(BadInput):
        model.inspect(path)


def test_what_is_walked_has_an_end() -> None:
    with protobuf.bounded(1000), pytest.raises(protobuf.WireError, match="more than"):
        for _ in range(20):
            list(protobuf.fields(memoryview(b"\x08\x01" * 60)))


def test_a_deep_configuration_in_an_archive_is_refused(tmp_path: Path) -> None:
    layer = '{"class_name":"Sequential","config":{"name":"s","layers":['
    config = layer * 100 + "]}}" * 100
    with pytest.raises(BadInput, match="truncated or damaged"):
        model.inspect(zipped(tmp_path / "a.keras", {"metadata.json": b"{}", "config.json": config.encode()}))


def test_groups_in_a_circle_end(tmp_path: Path) -> None:
    """Every address of a group in an HDF5 file made that of the root."""
    whole = bytearray((SMALL / "keras" / "with_lambda.2.h5").read_bytes())
    root = whole[64:72]
    at = whole.find(b"SNOD")
    while at >= 0:
        for entry in range(int.from_bytes(whole[at + 6 : at + 8], "little")):
            whole[at + 16 + 40 * entry : at + 24 + 40 * entry] = root
        at = whole.find(b"SNOD", at + 1)
    facts = model.inspect(bad_models.put(tmp_path / "circle.h5", bytes(whole)))
    assert facts.parameters == 0


def spoiled(whole: bytes, random_: random.Random) -> bytes:
    """The bytes cut off, or with one to eight bytes changed, most of them near the beginning."""
    if random_.random() < 0.3:
        return whole[: random_.randrange(1, len(whole))]
    content = bytearray(whole)
    for _ in range(random_.randint(1, 8)):
        top = len(content) if random_.random() < 0.5 else min(len(content), 400)
        content[random_.randrange(top)] = random_.choice((0, 1, 0x7F, 0x80, 0xFF, random_.randrange(256)))
    return bytes(content)


FUZZED = [SMALL / name for name in SAID if (SMALL / name).is_file()]
ROUNDS = 30


@pytest.mark.parametrize("path", [*FUZZED, TF / "saved_model"], ids=lambda path: path.name)
def test_a_spoiled_file_gives_facts_or_one_error(path: Path, tmp_path: Path) -> None:
    """Seeded: a failure names its seed."""
    folder = path.is_dir()
    source = path / "saved_model.pb" if folder else path
    whole, target = source.read_bytes(), tmp_path / source.name
    for seed in range(ROUNDS):
        bad_models.put(target, spoiled(whole, random.Random(seed)))
        try:
            facts = model.inspect(tmp_path if folder else target)
            chosen(facts, inputs=[t.name for t in facts.inputs[:1]]), facts.custom_ops(), facts.precision()
        except BadInput as error:
            assert "\n" not in error.what
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


def test_spoiled_variables_are_counted_from_the_graph_or_not_at_all(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(TF / "saved_model", tmp_path / "m")
    index = tmp_path / "m" / "variables" / "variables.index"
    whole = index.read_bytes()
    for seed in range(100):
        index.write_bytes(spoiled(whole, random.Random(seed)))
        model.inspect(tmp_path / "m")
    index.write_bytes(whole[:-3])
    facts = model.inspect(tmp_path / "m")
    assert facts.parameters == 128 and "counted from the graph" in facts.notes[0]


def test_spoiled_archive_members_give_facts_or_one_error(tmp_path: Path) -> None:
    """What is inside of the archives is spoiled, their checksums are right."""
    for name in ("torch/scripted.pt", "torch/exported.pt2", "torch/module.pt", "keras/functional.3.keras"):
        with zipfile.ZipFile(SMALL / name) as archive:
            members = {each: archive.read(each) for each in archive.namelist()}
        for seed in range(25):
            random_ = random.Random(seed)
            which = random_.choice([each for each, content in members.items() if len(content) > 60])
            changed = members | {which: spoiled(members[which], random_)}
            try:
                model.inspect(zipped(tmp_path / "x.zip", changed))
            except BadInput:
                continue
            except Exception as error:
                raise AssertionError(f"{name} {which} seed {seed}: {type(error).__name__}: {error}") from error
