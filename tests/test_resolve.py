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


def test_a_feature_that_is_not_asked_for_is_named_and_does_not_forbid_a_stack(envctl: Envctl) -> None:
    """TF-TRT of TensorFlow 2.10 wants TensorRT 7; TensorFlow and TensorRT 8.4 side by side want the same CUDA."""
    pins = ("resolve", "--tf", "2.10", "--trt", "8.4", "--host", "driver=470.82.01 gpu=7.5 glibc=2.31 cpu=avx2")
    ran = envctl(*pins, "--json")
    assert ran.code == 0
    assert ran.json["stack"]["choices"]["cuda"]["version"].startswith("11.2.")
    without = [(claim["feature"], claim["name"]) for claim in ran.json["stack"]["without"]]
    # nor are there wheels of the CUDA 11.2 that both can have
    assert without == [("extra wheels", "cuda"), ("extra wheels", "cudnn"), ("TF-TRT", "tensorrt")]
    assert "without     TF-TRT: tensorflow 2.10.1 needs tensorrt ==7.*" in envctl(*pins).out
    asked = envctl(*pins, "--feature", "TF-TRT")
    assert asked.code == 3
    assert "need tensorrt ==7.*" in asked.err


def test_what_a_wheel_s_extra_pins_binds_those_alone_who_take_the_extra(envctl: Envctl) -> None:
    """TensorFlow 2.18 runs with any cuDNN from 9.3 on (documented); its and-cuda extra asks for 9.3.0.75."""
    host = ("--host", "driver=550.54.14 gpu=8.6 glibc=2.35 cpu=avx2")
    assert envctl("matrix", "ask", "tensorflow=2.18.1", "cudnn=9.5.0").out.startswith("compatible")
    alone = envctl("resolve", "--tf", "2.18", "--cudnn", "9.5", *host)
    assert alone.code == 0 and "without     extra and-cuda: tensorflow 2.18.1 needs cudnn ==9.3.0 for it" in alone.out
    asked = envctl("resolve", "--tf", "2.18", "--cudnn", "9.5", "--feature", "extra and-cuda", *host)
    assert asked.code == 3 and "the extra asks for nvidia-cudnn-cu12 ==9.3.0.75" in asked.err


def test_two_gpus_and_the_one_that_is_left_out(envctl: Envctl) -> None:
    ran = envctl("resolve", "--trt", "8.6", "--host", "driver=580.95.05 gpu=12.0,8.6 glibc=2.35")
    assert ran.code == 0
    assert "one of several; left out: 12.0" in ran.out


@pytest.mark.slow
def test_everything_a_machine_can_run(envctl: Envctl) -> None:
    ran = envctl(
        "resolve", "--all", "--tf", "2", "--ort", "1", "--host", "glibc=2.31 cpu=avx2 driver=none gpu=none", "--json"
    )
    found = {each["engine"]: each for each in ran.json["engines"]}
    assert set(found) == {"tensorflow", "onnxruntime"}
    assert all(not each["gpu"] and each["cpu"] for each in found.values())
    assert "2.15.1" in found["tensorflow"]["cpu"]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("driver=abc", "driver=abc is not a version"),
        ("gpu=rtx4090", "a compute capability, for example gpu=8.9"),
        ("os=windows11", "is not a Linux distribution"),
        ("gpu=8.6 gpu=8.9", "--host says gpu=8.6 and gpu=8.9"),
    ],
)
def test_a_machine_that_cannot_be_read_is_refused(host: str, words: str, envctl: Envctl) -> None:
    ran = envctl("resolve", "--trt", "8.6", "--host", host)
    assert ran.code == 2
    assert words in ran.err
    assert ran.err.count("error:") == 1
