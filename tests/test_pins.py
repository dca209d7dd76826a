"""Pins on the command line: which option means what, and every one that cannot be meant is refused by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import typer

from envctl.cli import build, lock, options, resolve, run
from envctl.cli.pins import COMPONENTS, ENGINES, engine_and_pins
from envctl.errors import BadInput
from envctl.request import Pin
from tests.conftest import run_envctl

ORT: dict[str, str | None] = {"--ort": "1.17", "--openvino": None, "--cuda": None}


def pin_of(text: str) -> Pin:
    """The pin that one `--pin` makes beside an engine."""
    return engine_and_pins(ORT, [text])[1][1]


@pytest.mark.parametrize(("option", "name"), (ENGINES | COMPONENTS).items())
def test_each_option_pins_its_component(option: str, name: str) -> None:
    given = {option: "8.6"} if option in ENGINES else {"--ort": "1.17", option: "8.6"}
    engine, pins = engine_and_pins({**given}, [])
    assert engine == (name if option in ENGINES else "onnxruntime")
    assert (pins[-1].name, str(pins[-1].condition), pins[-1].said) == (name, "==8.6.*", f"{option} 8.6")


@pytest.mark.parametrize(
    ("text", "name", "condition"),
    [
        ("numpy=1.26", "numpy", "==1.26.*"),
        ("numpy==1.26", "numpy", "==1.26.*"),
        ("numpy===1.26.4", "numpy", "==1.26.4"),
        ("numpy=>=1.26", "numpy", ">=1.26"),
        ("numpy>=1.26,<2", "numpy", ">=1.26,<2"),
        ("numpy!=1.26.1", "numpy", "!=1.26.1"),
        ("numpy=<2", "numpy", "<2"),
        ("numpy<2", "numpy", "<2"),
        ("numpy~=1.26.1", "numpy", "~=1.26.1"),
        (" ML_Dtypes = 0.3", "ml-dtypes", "==0.3.*"),
        ("ruamel.yaml=0.18", "ruamel-yaml", "==0.18.*"),
    ],
)
def test_pin_grammar(text: str, name: str, condition: str) -> None:
    """`numpy>=1.26` was once read as `numpy==1.26.*`, and `numpy!=1.26` too."""
    pin = pin_of(text)
    assert (pin.name, str(pin.condition), pin.said) == (name, condition, f"--pin {text}")


@pytest.mark.parametrize("text", ["numpy", "=1.26", "", "numpy 1.26", "numpy[all]=1.26", "-=1", "1.26"])
def test_what_is_no_pin_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not NAME=SPEC") as caught:
        pin_of(text)
    assert repr(text) in caught.value.what
    assert caught.value.do


@pytest.mark.parametrize("text", ["numpy=", "numpy==", "numpy= ", "numpy=,"])
def test_an_empty_pin_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="the pin for numpy is empty"):
        pin_of(text)


@pytest.mark.parametrize("text", ["numpy=one", "numpy=>>1", "numpy=1.26=2"])
def test_a_pin_on_no_version_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="numpy .* is not a version"):
        pin_of(text)


def test_an_empty_engine_option_is_refused() -> None:
    """`--ort ""` comes from an unset shell variable: it must not mean "any"."""
    with pytest.raises(BadInput, match="the pin for onnxruntime is empty"):
        engine_and_pins({"--ort": ""}, [])


def test_one_run_has_one_engine() -> None:
    with pytest.raises(BadInput, match="no engine was named"):
        engine_and_pins({"--ort": None, "--cuda": "12"}, [])
    with pytest.raises(BadInput, match="--ort and --openvino were given"):
        engine_and_pins({"--ort": "1.17", "--openvino": "2026"}, [])


@pytest.mark.parametrize("second", ["onnxruntime=1.31", "OnnxRuntime=1.17"])
def test_the_same_component_twice_is_refused(second: str) -> None:
    with pytest.raises(BadInput, match="onnxruntime is pinned twice") as caught:
        engine_and_pins(ORT, [second])
    assert "--ort 1.17" in caught.value.what
    assert f"--pin {second}" in caught.value.what


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ort", "1.17", "--openvino", "2026.4"], "one run has one engine"),
        (["--cuda", "12"], "no engine was named"),
        (["--ort", "seventeen"], "onnxruntime 'seventeen' is not a version"),
        (["--ort", "1.17", "--pin", "numpy"], "is not NAME=SPEC"),
        (["--ort", "1.17", "--pin", "onnxruntime=1.31"], "pinned twice"),
        (["--ort", "1.17", "--pin", "python=3.11", "--python", "3.12"], "pinned twice"),
    ],
)
def test_the_program_says_so_with_exit_code_2(envctl: Callable, arguments: list[str], words: str) -> None:
    ran = envctl("run", *arguments, "convert", "model.onnx")
    assert ran.code == 2
    assert words in ran.err
    assert "hint: " in ran.err
    assert "Traceback" not in ran.err


def test_unknown_options_are_usage_errors(envctl: Callable) -> None:
    ran = envctl("run", "--onnxruntime", "1.17", "convert", "model.onnx")
    assert ran.code == 2
    assert "--onnxruntime" in ran.err


# ---- the options of commands


def test_every_engine_and_component_has_an_option() -> None:
    assert [f"--{name}" for name in options.PINS] == [*ENGINES, *COMPONENTS]


@pytest.mark.parametrize("app", [run.app, lock.app, resolve.app, build.app])
def test_every_command_that_takes_pins_takes_all_of_them(app: typer.Typer) -> None:
    given = [parameter.opts[0] for parameter in typer.main.get_command(app).params]
    assert [option for option in given if option.removeprefix("--") in options.PINS] == [*ENGINES, *COMPONENTS]


@pytest.mark.parametrize("command", [["run", "--", "true"], ["lock"], ["build"]])
def test_what_was_said_arrives_under_its_option(command: list[str]) -> None:
    name, *rest = command
    ran = run_envctl(name, "--trt-rtx", "1", "--ort-gpu", "1.31", *rest)
    assert ran.code == 2 and "--trt-rtx and --ort-gpu were given; one run has one engine" in ran.err
