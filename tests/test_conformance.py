"""ONNX's node tests through adapters: what is read of them, judged and foretold; a worker that dies costs one case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from envctl import model, spec
from envctl.model.node_types import taken
from envctl.model.one_node import one_node
from envctl.model.tensor_file import NotForNumpyError, read_tensor
from envctl.runner.local import LocalRunner
from envctl.verify.conformance import Finding, differs, foresight, refusal
from envctl.workflow import conformance
from envctl.workflow.ask import Ask
from envctl.workflow.conformance import _Work
from envctl.workflow.node_tests import Case
from envctl.workflow.plan import Plan
from envctl.workflow.prepare import Prepared
from tests import wheelhouse
from tests.conftest import Ran
from tests.echoing import NEWEST, with_numpy

Program = Callable[..., Ran]
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
X = np.array([1, 2, 3], dtype=np.float32)


def test_every_tensor_of_the_node_tests_is_read_as_onnx_reads_it() -> None:
    seen, left = set(), set()
    for path in sorted(DATA.glob("*/test_data_set_0/*put_0.pb")):
        wanted = onnx.TensorProto()
        try:
            wanted.ParseFromString(path.read_bytes())
            _, array = read_tensor(path.read_bytes())
        except NotForNumpyError as error:
            left.add(str(error))
            continue
        except Exception:  # a sequence or an optional: neither reads it as a tensor
            continue
        if not wanted.data_type or wanted.data_type > 26:
            continue
        expected = onnx.numpy_helper.to_array(wanted)
        texts = expected.dtype.kind in "OS"
        same = np.array_equal(expected.astype(str), array) if texts else expected.dtype == array.dtype
        assert same, path
        assert texts or np.array_equal(expected, array, equal_nan=array.dtype.kind in "fc"), path
        seen.add(str(array.dtype.kind if texts else array.dtype))
    assert seen >= {"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool", "U"}
    assert {"numpy has no bfloat16", "numpy has no int4", "numpy has no float8_e5m2"} <= left


def test_the_types_that_operators_read_are_found() -> None:
    assert taken(DATA / "test_less_uint16" / "model.onnx") == {("Less", "uint16")}
    pairs = taken(DATA / "test_less_equal_uint16_expanded" / "model.onnx")
    assert ("Less", "uint16") in pairs
    assert "bool" not in {dtype for _, dtype in pairs}  # what nodes made is not told


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([X], ""),
        ([X + 1e-4], ""),
        ([X + 0.1], "max abs error 0.1"),
        ([X.astype(np.float64)], "output 0 is float64 instead of float32"),
        ([X[None]], "the shape [1, 3] instead of [3]"),
        ([X, X], "2 outputs instead of 1"),
    ],
)
def test_answers_are_compared_as_onnx_does(answers: list[np.ndarray], told: str) -> None:
    found = differs([X], answers, 1e-3, 1e-7)
    assert (told in found) if told else (found == "")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for BitShift(11)", "no operator"),
        (
            "guarantees support for models stamped with official released onnx opset versions. Opset 27 is",
            "opset or IR",
        ),
        ("No conversion rule found for operations: ai.onnx.preview.FlexAttention", "no operator"),
        ("pnnx has no rule for, and left out: LSTM LSTM_0 (hidden_size=16)", "no operator"),
        ("x is int64; ncnn takes and gives float32 alone", "type"),
        ("something else", "engine-error"),
    ],
)
def test_refusals_have_classes(message: str, why: str) -> None:
    assert refusal(message, "engine-error") == why


def test_foresight_counts_what_was_tried() -> None:
    told = Finding(case="a", op="A", state="refused", stage="convert", predicted="opset")
    untold, wrong = replace(told, predicted=""), replace(told, state="passed", stage="ran")
    header = replace(told, stage="header")
    found = foresight([told, told, untold, wrong, header])
    assert (found.failed, found.told, found.wrongly, found.share) == (3, 2, 1, 2 / 3)


class _Mute:
    def say(self, text: str) -> None: ...
    def planned(self, role: str, plan: Plan) -> None: ...
    def prepared(self, role: str) -> None: ...


def echoing(folder: Path, scripts: dict[str, str]) -> tuple[_Work, list[Case]]:
    """Cases whose models are documents for the echo adapter, which answers each input doubled."""
    made = replace(wheelhouse.spec("numpy"), adapter="echo", runs_on="cpu")
    stack = wheelhouse.stack(NEWEST)
    plan = Plan(stack=stack, spec=made, packages=made.packages(stack), glibc=None, base="")
    target = Prepared(plan=plan, environment=with_numpy(NEWEST))
    cases = []
    for name, script in scripts.items():
        own = folder / "cases" / name
        own.mkdir(parents=True)
        (own / "model.onnx").write_bytes(one_node())
        facts = model.read(own / "model.onnx")
        (own / "model.onnx").write_text(script)
        np.savez(own / "inputs.npz", x=X)
        cases.append(Case(name=name, op="Add", facts=facts, expected=(X * 2,)))
    ask = Ask(task="verify", engine="echo", pins=())
    return _Work(ask, LocalRunner(), target, folder, spec.node_tests(), 4 << 30, _Mute()), cases


@pytest.mark.engines
def test_a_case_that_kills_the_worker_or_hangs_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "CASE_SECONDS", 2)
    scripts = {
        "a": '{"do": "pass"}',
        "b": '{"do": "die"}',
        "c": '{"do": "sleep", "seconds": 60}',
        "d": '{"do": "pass"}',
    }
    work, cases = echoing(tmp_path, scripts)
    found = {each.case: each for each in work.all(cases, dict.fromkeys(scripts, ""), False)}
    assert {name: each.state for name, each in found.items()} == {
        "a": "passed", "b": "crashed", "c": "crashed", "d": "passed",
    }  # fmt: skip
    assert "SIGSEGV" in found["b"].message
    assert "timeout" in found["c"].message
    assert work.jobs == 3


@pytest.mark.engines
def test_another_answer_is_a_mismatch_and_what_the_header_says_is_not_run(tmp_path: Path) -> None:
    work, cases = echoing(tmp_path, {"a": '{"do": "pass"}', "b": '{"do": "pass"}', "c": '{"do": "pass"}'})
    cases[0] = replace(cases[0], expected=(X,))
    cases[2] = replace(cases[2], untold="numpy has no int4")
    a, b, c = work.all(cases, {"a": "", "b": "opset 99", "c": ""}, False)
    assert (a.state, b.state, b.why, c.state) == ("mismatch", "refused", "header", "skipped")


TWENTY = (
    "test_(relu|add|lstm_.*|gru_.*|not_2d|adagrad|cast_FLOAT_to_BFLOAT16|training_dropout|less_uint16|max_int16"
    "|range_bfloat16_.*)"
)


@pytest.mark.engines
def test_some_node_tests_through_onnx_runtime(envctl: Program) -> None:
    ran = envctl("conformance", "--ort", "1.31", "--runner", "local", "--cases", TWENTY, "--json")
    assert ran.code == 0, ran.err
    told = {each["case"]: each for each in ran.json["findings"]}
    assert {told[f"test_{name}"]["state"] for name in ("relu", "add", "lstm_defaults", "not_2d", "less_uint16")} == {
        "passed"
    }
    assert (told["test_adagrad"]["state"], told["test_adagrad"]["why"]) == ("refused", "header")
    assert (told["test_max_int16"]["state"], told["test_max_int16"]["why"]) == ("refused", "no operator")
    assert told["test_training_dropout"]["state"] == "mismatch"
    assert told["test_cast_FLOAT_to_BFLOAT16"]["state"] == "skipped"
    assert "opset 27" in told["test_range_bfloat16_type_positive_delta"]["predicted"]
    assert ran.json["ops"]["LSTM"]["passed"] == 3
    assert sum(ran.json["tally"].values()) == ran.json["cases"] == len(told)


@pytest.mark.engines
def test_wrong_words_are_said_before_anything_is_run(envctl: Program) -> None:
    ran = envctl("conformance", "--ort", "1.31", "--runner", "local", "--cases", "test_add", "--ops", "Sub")
    assert (ran.code, "no node test is about Sub" in ran.err) == (2, True)
    ran = envctl("conformance", "--ort", "1.31", "--runner", "local", "--cases", "test_(")
    assert (ran.code, "--cases" in ran.err) == (2, True), ran.err


@pytest.mark.engines
@pytest.mark.slow
def test_onnx_runtime_passes_at_least_what_a_plain_harness_gets(envctl: Program) -> None:
    ran = envctl("conformance", "--ort", "1.31", "--runner", "local", "--least", "1428", "--json")
    assert (ran.code, ran.json["cases"]) == (0, 1765), ran.json["tally"]


@pytest.mark.engines
@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.15", "1.17"])
def test_headers_foretell_what_old_releases_do_not_load(envctl: Program, version: str) -> None:
    told = envctl("conformance", "--ort", version, "--runner", "local", "--all", "--json").json["foretold"]
    assert told["share"] >= 0.95
    assert told["wrongly"] == 0


FEW = "test_(relu|sigmoid|conv_with_.*|basic_conv_.*|adagrad|flexattention|not_2d|cast_FLOAT_to_INT4)"


@pytest.mark.engines
@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "states"),
    [
        (("--openvino", "2026.4"), {"passed", "refused", "skipped"}),
        (("--trt-rtx", "1.7"), {"built", "refused", "skipped"}),
        (("--ncnn", "1.0.20261020"), {"passed", "refused"}),
    ],
)
def test_other_engines_do_the_same_tests(envctl: Program, engine: tuple[str, str], states: set[str]) -> None:
    ran = envctl("conformance", *engine, "--runner", "local", "--cases", FEW, "--json")
    assert ran.code == 0, ran.err
    assert {state for state, count in ran.json["tally"].items() if count} >= states, ran.json["tally"]


@pytest.mark.slow
@pytest.mark.engines
def test_inputs_that_decide_on_shapes_have_a_profile_of_the_tests_own_numbers(envctl: Program) -> None:
    cases = "test_(reshape_reordered_all_dims|tile|expand_dim_changed|constant_pad)"
    ran = envctl("conformance", "--trt-rtx", "1.7", "--runner", "local", "--cases", cases, "--json")
    states = {each["case"]: each["state"] for each in ran.json["findings"]}
    assert len(states) == 4 and set(states.values()) == {"built"}, ran.json["findings"]


@pytest.mark.slow
@pytest.mark.engines
def test_an_engine_whose_shapes_hang_on_an_inputs_numbers_is_refused_by_name(envctl: Program, tmp_path: Path) -> None:
    (name,) = DATA.glob("test_reshape_reordered_all_dims")
    ran = envctl("run", "--trt-rtx", "1.7", "--runner", "local", "convert", name / "model.onnx", "-o", tmp_path / "out")
    assert ran.code == 5 and "input shape decides on the shapes of others" in ran.err, ran.err


@pytest.mark.slow
@pytest.mark.engines
def test_an_input_keeps_its_name_where_openvino_removes_what_lies_behind_it(envctl: Program) -> None:
    cases = "test_(dropout_default|max_one_input)"
    ran = envctl("conformance", "--openvino", "2026.4", "--runner", "local", "--cases", cases, "--json")
    assert ran.json["tally"]["passed"] == 2, ran.json["findings"]
