"""The evidence store: what is written, what speaks against a release, and what the solver makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envctl import evidence
from envctl.errors import BadInput
from envctl.evidence import Observation
from tests.conftest import Ran

Program = Callable[..., Ran]
SEEN = Observation(
    day="2026-11-20",
    engine="onnxruntime",
    task="convert",
    precision="fp32",
    verdict="passed",
    reason="",
    lock="0" * 64,
    stack={"onnxruntime": "1.31.1", "python": "3.11"},
    packages={"onnxruntime": "1.31.1", "numpy": "2.4.6"},
    model={"sha256": "aa", "format": "onnx"},
    host={"arch": "x86_64"},
)
HOST = ("--host", "glibc=2.36 cpu=avx2")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "evidence.jsonl"
    monkeypatch.setenv("ENVCTL_EVIDENCE", str(path))
    return path


def keep(*observations: Observation) -> None:
    for observation in observations:
        evidence.append(observation)


def releases(*observations: Observation, model: str = "", precision: str = "fp32") -> set[tuple[str, str]]:
    return set(evidence.refuted(observations, model, precision))


def test_what_is_appended_is_read_back(store: Path) -> None:
    other = replace(SEEN, verdict="failed", reason="cosine 0.2")
    keep(SEEN, other)
    assert evidence.read() == [SEEN, other]
    assert len(store.read_text().splitlines()) == 2


def test_no_store_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVCTL_EVIDENCE", "none")
    assert evidence.append(SEEN) is None
    assert evidence.read() == []


@pytest.mark.parametrize("line", ["{", "[]", '{"day": "2026-11-20"}', '{"unknown": 1}'])
def test_a_spoiled_line_is_named_and_loses_nothing(store: Path, line: str) -> None:
    keep(SEEN)
    with store.open("a") as stream:
        stream.write(line + "\n")
    before = store.read_text()
    with pytest.raises(BadInput, match="line 2"):
        evidence.read()
    assert store.read_text() == before


def test_an_engine_that_cannot_be_imported_is_refused_whatever_the_model() -> None:
    assert releases(replace(SEEN, verdict="engine-missing")) == {("onnxruntime", "1.31.1")}


@pytest.mark.parametrize("verdict", sorted(evidence.AGAINST_MODEL))
def test_a_failure_with_a_model_speaks_against_that_model_and_precision_only(verdict: str) -> None:
    failed = replace(SEEN, verdict=verdict)
    assert releases(failed, model="aa") == {("onnxruntime", "1.31.1")}
    assert releases(failed, model="bb") == releases(failed) == releases(failed, model="aa", precision="fp16") == set()


@pytest.mark.parametrize(
    "verdict", ["passed", "timeout", "out-of-memory", "disk-full", "no-device", "failed-own-terms"]
)
def test_what_is_not_the_releases_fault_does_not_speak_against_it(verdict: str) -> None:
    assert releases(replace(SEEN, verdict=verdict), model="aa") == set()


def test_a_later_success_takes_a_failure_back() -> None:
    missing, failed = replace(SEEN, verdict="engine-missing"), replace(SEEN, verdict="failed")
    other = replace(SEEN, model={"sha256": "bb"})
    assert releases(missing, other) == set()
    assert releases(failed, SEEN, model="aa") == set()
    assert releases(failed, other, model="aa") == {("onnxruntime", "1.31.1")}
    assert releases(SEEN, failed, model="aa") == {("onnxruntime", "1.31.1")}


def test_a_measured_failure_outranks_the_matrix_and_says_why(store: Path, envctl: Program) -> None:
    keep(replace(SEEN, verdict="engine-missing", reason="libfoo.so.1: cannot open shared object file"))
    free = envctl("resolve", "--ort", "1.31", *HOST, "--json", ENVCTL_EVIDENCE=str(store))
    assert free.json["stack"]["choices"]["onnxruntime"]["version"] == "1.31.0"
    pinned = envctl("resolve", "--ort", "1.31.1", *HOST, ENVCTL_EVIDENCE=str(store))
    assert pinned.code == 3
    assert "onnxruntime 1.31.1 failed here on 2026-11-20: libfoo.so.1: cannot open shared object file" in pinned.err
    assert f"measured:{store}" in pinned.err
    aside = envctl("resolve", "--ort", "1.31.1", *HOST, "--json", ENVCTL_EVIDENCE="none")
    assert aside.json["stack"]["choices"]["onnxruntime"]["version"] == "1.31.1"


def test_prefer_measured_takes_what_passed_here(store: Path, envctl: Program) -> None:
    keep(replace(SEEN, stack={"onnxruntime": "1.22.1", "python": "3.10"}))
    chosen = {
        prefer: envctl(
            "resolve", "--pin", "onnxruntime>=1.20", *HOST, "--prefer", prefer, "--json", ENVCTL_EVIDENCE=str(store)
        ).json["stack"]["choices"]
        for prefer in ("newest", "measured")
    }
    assert chosen["newest"]["onnxruntime"]["version"] == "1.31.1"
    assert chosen["measured"]["onnxruntime"]["version"] == "1.22.1"
    assert chosen["measured"]["python"]["version"] == "3.10"


def test_show_prints_documented_and_observed_cells_side_by_side(store: Path, envctl: Program) -> None:
    keep(SEEN, replace(SEEN, verdict="failed", reason="worst cosine 0.2"))
    ran = envctl("matrix", "show", "onnxruntime", "1.31.1", ENVCTL_EVIDENCE=str(store))
    assert "[metadata]" in ran.out
    assert "observed here: passed on 2026-11-20: convert of onnx aa in fp32" in ran.out
    assert "observed here: failed on 2026-11-20" in ran.out
    assert "worst cosine 0.2" in ran.out
    data = envctl("matrix", "show", "onnxruntime", "1.31.1", "--json", ENVCTL_EVIDENCE=str(store)).json
    assert [seen["verdict"] for seen in data["releases"][0]["observed"]] == ["passed", "failed"]


@pytest.mark.engines
def test_a_run_is_recorded_with_its_stack_model_verdict_and_host(store: Path, envctl: Program, digits: Path) -> None:
    run: dict[str, Any] = {"ENVCTL_EVIDENCE": str(store)}
    ran = envctl("run", "--ort", "1.31.1", "verify", digits, "--record", "--json", **run)
    assert ran.code == 0, ran.err
    (seen,) = [json.loads(line) for line in store.read_text().splitlines()]
    assert (seen["engine"], seen["verdict"], seen["precision"]) == ("onnxruntime", "passed", "fp32")
    assert seen["stack"]["onnxruntime"] == "1.31.1"
    assert seen["model"]["sha256"] == ran.json["model"]["sha256"]
    assert seen["lock"] == ran.json["target"]["locked"]["lock"]
    assert seen["host"]["arch"]
    assert str(digits) not in store.read_text()
    envctl("run", "--ort", "1.31.1", "verify", digits, "--json", **run)
    assert len(store.read_text().splitlines()) == 1, "only --record records"


@pytest.mark.engines
def test_a_failure_that_was_recorded_is_not_met_twice(store: Path, envctl: Program, bad: dict[str, Path]) -> None:
    """The engine cannot do the model: recorded once, the solve refuses the release for this model and says why."""
    arguments = ("run", "--openvino", "2026.4.1", "convert", bad["local_function"], "--no-verify")
    first = envctl(*arguments, "--record", ENVCTL_EVIDENCE=str(store))
    assert first.code == 5, first.err
    assert evidence.read()[0].scope == "model"
    second = envctl(*arguments, ENVCTL_EVIDENCE=str(store))
    assert second.code == 3
    assert "openvino 2026.4.1 failed here on" in second.err
    assert "ENVCTL_EVIDENCE=none" in second.err
