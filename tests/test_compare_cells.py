"""Which cells a command line means, and what each of them is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from envctl.cli.measured import numbers
from envctl.cli.versions_said import listed, versions
from envctl.errors import BadInput
from envctl.model import ModelFacts, Tensor
from envctl.workflow.ask import Ask
from envctl.workflow.cells import Engine, Matrix, Wish, batched, command, grows, own_batch, wishes

ORT, VINO = (Engine(name=name, said=said, pins=()) for name, said in (("onnxruntime", "1.31"), ("openvino", "")))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("MODEL --ort 1.31 --openvino 2026.4,2024.6", "--ort=1.31 --openvino=2026.4,2024.6 MODEL"),
        ("--litert --ncnn MODEL.onnx", "--litert=any --ncnn=MODEL.onnx"),
        ("--ncnn --batch 8 MODEL", "--ncnn=any --batch 8 MODEL"),
        ("MODEL --ort 1.31 --ort=1.17 --litert", "--ort=1.31,1.17 --litert=any MODEL"),
        ("MODEL --ort >=1.20,<1.30", "--ort=>=1.20,<1.30 MODEL"),
        ("MODEL --python 3.11 --ort abc", "--ort=abc MODEL --python 3.11"),
        ("MODEL --ort 1.31 -- --ort 2", "--ort=1.31 MODEL -- --ort 2"),
    ],
)
def test_every_engine_is_said_once_with_all_its_versions(said: str, meant: str) -> None:
    assert listed(said.split()) == meant.split()


def test_a_model_that_is_there_is_no_version(tmp_path: Path) -> None:
    model = tmp_path / "8.onnx"
    model.touch()
    assert listed(["--litert", str(model)]) == ["--litert=any", str(model)]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1.31", ["1.31"]),
        ("2026.4,2024.6", ["2026.4", "2024.6"]),
        ("2026.4,>=2024,<2025,any", ["2026.4", ">=2024,<2025", ""]),
        (">=1,<2,3.4", [">=1,<2", "3.4"]),
    ],
)
def test_a_range_keeps_its_commas(text: str, meant: list[str]) -> None:
    assert versions(text) == meant


def facts(*shapes: tuple[int | None, ...] | None) -> ModelFacts:
    tensors = tuple(Tensor(name=f"x{index}", dtype="float32", shape=shape) for index, shape in enumerate(shapes))
    return ModelFacts(path=Path("m.onnx"), sha256="0", format="onnx", size=1, inputs=tensors, outputs=())


def all_of(matrix: Matrix, *shapes: tuple[int | None, ...], **ask: Any) -> tuple[Wish, ...]:
    return wishes(matrix, Ask(task="verify", engine="", pins=(), model=Path("m.onnx"), **ask), facts(*shapes))


def test_cells_are_the_product_in_the_order_said() -> None:
    matrix = Matrix(engines=(ORT, VINO), precisions=("fp32", "int8"), batches=(1, 8), threads=(1,))
    found = all_of(matrix, (None, 4))
    assert [wish.id(None) for wish in found] == [
        "onnxruntime-1.31-fp32-b1-t1", "onnxruntime-1.31-fp32-b8-t1", "onnxruntime-1.31-int8-b1-t1",
        "onnxruntime-1.31-int8-b8-t1", "openvino-any-fp32-b1-t1", "openvino-any-fp32-b8-t1",
        "openvino-any-int8-b1-t1", "openvino-any-int8-b8-t1",
    ]  # fmt: skip


def test_nothing_to_compare_and_the_same_twice_are_refused() -> None:
    with pytest.raises(BadInput, match="no engine was named"):
        all_of(Matrix(engines=()), (1, 4))
    with pytest.raises(BadInput, match="asked for twice"):
        all_of(Matrix(engines=(ORT, ORT)), (1, 4))
    with pytest.raises(BadInput, match="cells"):
        all_of(Matrix(engines=(ORT,), batches=tuple(range(1, 2000))), (None, 4))


def test_the_models_own_batch_is_what_nobody_said() -> None:
    assert [own_batch(facts(*shapes), {}) for shapes in ([(None, 4)], [(6, 4), (6,)], [(2, 4), (3,)], [()])] == [
        1,
        6,
        1,
        1,
    ]
    assert own_batch(facts((None, 4)), {"x0": (5, 4)}) == 5


def test_a_batch_goes_into_the_shapes_of_open_inputs_alone() -> None:
    wish = all_of(Matrix(engines=(ORT,), batches=(8,)), (None, 4), (None, None), shapes={"x1": (1, 7)})[0]
    assert batched(wish, facts((None, 4), (None, None))).shapes == {"x0": (8, 4), "x1": (8, 7)}
    with pytest.raises(BadInput, match=r"batch 8: the first axis of x0 .* is fixed"):
        batched(wish, facts((1, 4), (None, None)))
    own = all_of(Matrix(engines=(ORT,)), (1, 4))[0]
    assert batched(own, facts((1, 4))).shapes == {}


def test_only_open_first_axes_grow() -> None:
    assert [grows(facts(*shapes)) for shapes in ([(None, 4)], [(None, 4), (1,)], [(None,), ()], [None])] == [
        True, False, True, False,
    ]  # fmt: skip


def test_the_command_of_a_cell_names_what_was_found() -> None:
    wish = all_of(Matrix(engines=(ORT,), precisions=("fp16",), batches=(8,), threads=(2,), colocate=3), (None, 4))[0]
    words = "envctl bench m.onnx --ort 1.31.1 --precision fp16 --batch 8 --threads 2 --colocate 3 --seed 7"
    assert command(wish, "1.31.1", ("--seed", "7")) == words
    assert shlex.split(command(wish, None, ()))[3:5] == ["--ort", "1.31"]


@pytest.mark.parametrize(("text", "least"), [("0", 1), ("x", 0), ("1,,2", 0), ("-1", 0), ("²", 0), ("9" * 30, 0)])
def test_numbers_that_are_none_are_named(text: str, least: int) -> None:
    with pytest.raises(BadInput, match="--batch"):
        numbers("--batch", text, least)


def test_numbers_are_lists() -> None:
    assert (numbers("--batch", "1, 8,16", 1), numbers("--batch", "", 1)) == ((1, 8, 16), ())
