"""`envctl resolve` on the real matrix: stacks, proofs, described machines, bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

GPU_HOST = "driver=535.104.05 gpu=8.6 glibc=2.35 cpu=sse4_2,avx,avx2"
Envctl = Callable[..., Ran]


def test_a_stack_reaches_from_the_driver_to_the_engine(envctl: Envctl) -> None:
    ran = envctl("resolve", "--trt", "8.6", "--host", GPU_HOST, "--json")
    choices = ran.json["stack"]["choices"]
    assert ran.code == 0
    assert choices["tensorrt"]["version"].startswith("8.6.")
    assert choices["driver"]["version"] == "535.104.05"
    assert {"cuda", "cudnn", "python", "gpu"} <= set(choices)
    assert all(choice["source"] and choice["why"] for choice in choices.values())


def test_an_old_driver_is_blamed_with_the_chain_that_leads_to_it(envctl: Envctl) -> None:
    ran = envctl("resolve", "--tf", "2.17", "--host", "driver=470.82 gpu=8.6")
    assert ran.code == 3
    hint = "hint: with driver 525.60.13 or newer: tensorflow 2.17.1"
    for words in ("need cuda ==12.3.*", "need driver >=525.60.13", "here driver is 470.82", hint):
        assert words in ran.err
    assert "tensorflow.org" in ran.err or "tensorflow/docs" in ran.err


def test_the_same_engine_does_without_a_gpu_where_there_is_none(envctl: Envctl) -> None:
    ran = envctl("resolve", "--tf", "2.17", "--host", "glibc=2.35 cpu=avx,avx2", "--json")
    assert ran.code == 0, ran.err
    assert "cuda" not in ran.json["stack"]["choices"]


def test_a_gpu_that_is_too_new_is_blamed(envctl: Envctl) -> None:
    ran = envctl("resolve", "--trt-rtx", "1.7", "--host", "gpu=9.0 driver=580.159.04")
    assert ran.code == 3
    assert "here gpu is 9.0" in ran.err


def test_pins_that_exclude_each_other_are_both_named_and_each_way_out_is_shown(envctl: Envctl) -> None:
    ran = envctl("resolve", "--ort", "1.17", "--python", "3.13", "--host", GPU_HOST)
    assert ran.code == 3
    assert "--ort 1.17" in ran.err
    assert "--python 3.13" in ran.err
    assert "hint: with onnxruntime 1.20.0 instead of --ort 1.17" in ran.err
    assert "hint: with python 3.12 instead of --python 3.13: onnxruntime 1.17.3" in ran.err


def test_a_fact_that_is_not_known_is_named_and_not_taken_as_fine(envctl: Envctl) -> None:
    ran = envctl("resolve", "--trt", "8.6", "--host", "glibc=2.35", "--json")
    assert ran.code == 0
    assert {"driver", "gpu"} <= {claim["name"] for claim in ran.json["stack"]["unmet"]}


def test_a_machine_can_be_described_in_a_file(envctl: Envctl, tmp_path: Path) -> None:
    (tmp_path / "machine.txt").write_text(GPU_HOST.replace(" ", "\n"))
    inline = envctl("resolve", "--trt", "8.6", "--host", GPU_HOST, "--json")
    filed = envctl("resolve", "--trt", "8.6", "--host", "machine.txt", "--json")
    versions = [
        {name: choice["version"] for name, choice in ran.json["stack"]["choices"].items()} for ran in (inline, filed)
    ]
    assert versions[0] == versions[1]
    assert filed.json["stack"]["choices"]["driver"]["source"] == "machine.txt"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing was asked for"),
        (("--pin", "cdua=12"), "did you mean cuda?"),
        (("--trt", "8.6", "--host", "drivr=535"), "did you mean driver=…?"),
        (("--trt", "8.6", "--host", "no-such-file"), "is not a fact of a machine"),
        (("--trt", "99"), "the matrix knows no such tensorrt"),
    ],
)
def test_bad_input_gets_one_clear_error(arguments: tuple[str, ...], words: str, envctl: Envctl) -> None:
    ran = envctl("resolve", *arguments)
    assert ran.code in (2, 3)
    assert ran.err.count("error:") == 1
    assert words in ran.err
    assert "Traceback" not in ran.err
