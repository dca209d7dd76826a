"""`envctl matrix ask` and `range`: verdicts with their chain, exit codes, files of questions, bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran
from tests.solver_worlds import write_matrix

Program = Callable[..., Ran]


def test_compatible_comes_with_the_claim_and_its_source(envctl: Program) -> None:
    ran = envctl("matrix", "ask", "tensorrt==8.6.1", "gpu==9.0")
    assert ran.code == 0
    first, chain = ran.out.splitlines()[:2]
    assert first == "compatible"
    assert chain.startswith("  tensorrt 8.6.1 needs gpu")
    assert "https://docs.nvidia.com" in chain


def test_incompatible_across_components_shows_the_whole_chain(envctl: Program) -> None:
    """tensorrt -> cuda -> driver: nobody says it of the pair itself."""
    ran = envctl("matrix", "ask", "tensorrt==8.6.1", "driver==440.33.01", "--json")
    assert ran.code == 3
    assert ran.json["answer"] == "incompatible"
    assert {(claim["owner"].split()[0], claim["name"]) for claim in ran.json["chain"]} == {
        ("tensorrt", "cuda"),
        ("cuda", "driver"),
    }
    assert all(claim["source"] and claim["evidence"] for claim in ran.json["chain"])


def test_no_fact_is_unknown_and_never_fine(envctl: Program) -> None:
    ran = envctl("matrix", "ask", "docker==24.0.7", "openvino==2024.6.0")
    assert ran.code == 1
    assert ran.out.startswith("unknown: no fact links docker==24.0.7 and openvino==2024.6.0")


def test_a_version_nobody_knows_names_the_nearest(envctl: Program) -> None:
    ran = envctl("matrix", "ask", "cuda==12.44", "driver==535.54.03")
    assert ran.code == 1
    assert "the matrix knows no cuda==12.44" in ran.out
    assert "nearest: 13.0" in ran.out


def test_the_other_source_is_shown_where_two_contradict(envctl: Program) -> None:
    ran = envctl("matrix", "ask", "onnxruntime==1.16.3", "numpy==2.1.3", "--json")
    assert ran.json["answer"] == "incompatible"
    assert [claim["condition"] for claim in ran.json["contradicted_by"]] == [[">=1.21.6"]]


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        (("onnx==1.14", "opset==19"), 0),
        (("onnx==1.14", "opset==20"), 3),
        (("openvino==2024.6", "cpu=avx2"), 0),
        (("tensorflow==2.15", "cpu=x86-64-v2"), 3),
        (("tensorflow==2.17", "driver==470"), 3),
        (("tensorflow==2.17", "driver==535"), 0),
        (("openvino==2026.4", "os=ubuntu18.04"), 3),
        (("openvino==2026.4", "os=Ubuntu-22.04"), 0),
        (("cuda==13.0", "driver==535.183.01", "gpu==9.0"), 0),  # forward compatibility: a data-centre GPU
        (("cuda==13.0", "driver==535.183.01", "gpu==8.6"), 3),
        (("cuda==13.0", "driver==535.183.01"), 3),
        (("gpu==7.0", "driver==615.31"), 3),
        (("tf2onnx==1.16.1", "tensorflow==2.20"), 3),
        (("python>=3.12", "tensorflow==2.15"), 3),
    ],
)
def test_items_as_people_write_them(envctl: Program, items: tuple[str, ...], answer: int) -> None:
    ran = envctl("matrix", "ask", *items)
    assert ran.code == answer, ran.out + ran.err


def test_a_file_of_questions(envctl: Program, tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text(
        "# a comment\ntensorrt==8.6.1 gpu==9.0\n\ntensorrt==8.6.1 gpu==12.0  # too new\nnonsense==1 gpu==9.0\n"
    )
    ran = envctl("matrix", "ask", "--batch", "questions.txt", "--json")
    assert [answer["answer"] for answer in ran.json["answers"]] == ["compatible", "incompatible", "unknown"]
    assert [answer["question"] for answer in ran.json["answers"]][1] == "tensorrt==8.6.1 gpu==12.0"
    assert "unknown component 'nonsense'" in ran.json["answers"][2]["because"]
    assert ran.code == 3
    shown = envctl("matrix", "ask", "--batch", "questions.txt").out.splitlines()
    assert [line.split()[0] for line in shown] == ["compatible", "incompatible", "unknown"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ask", "cudaa==12", "gpu==9.0"), "did you mean cuda?"),
        (("ask", "cuda==12"), "a question needs two items"),
        (("ask", "cuda==12", "cuda==11"), "cuda is named twice: cuda==12 and cuda==11"),
        (("ask", "cuda", "gpu==9.0"), "'cuda' is not NAME==VERSION"),
        (("ask", "cuda==banana", "gpu==9.0"), "is not a version"),
        (("ask",), "give items, or a file of them"),
        (("ask", "--batch", "no-such-file"), "cannot be read"),
        (("range", "tensorflow==2.15"), "give items and then a name"),
        (("range", "tensorflow==2.15", "pyton"), "did you mean python?"),
        (("range", "tensorflow==2.15", "tensorflow"), "tensorflow is among the items"),
        (("range", "tensorflow==2.15", "cpu"), "cpu has no versions to try"),
    ],
)
def test_bad_input_gets_one_clear_error(envctl: Program, arguments: tuple[str, ...], words: str) -> None:
    ran = envctl("matrix", *arguments)
    assert ran.code == 2
    assert ran.err.count("error:") == 1
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_an_unverified_claim_decides_nothing(envctl: Program, tmp_path: Path) -> None:
    cuda = {"version": "12.0", "requires": {"driver": {"any": [">=525"], "source": "page", "evidence": "unverified"}}}
    python = {"kind": "component", "releases": [{"version": "3.11"}]}
    write_matrix(
        tmp_path / "m",
        {"cuda": {"kind": "component", "releases": [cuda]}, "driver": {"kind": "host"}, "python": python},
    )
    for driver in ("530.10", "470.10"):
        ran = envctl("matrix", "ask", "cuda==12.0", f"driver=={driver}", "--matrices", "m")
        assert (ran.code, ran.out.splitlines()[0]) == (1, "unknown: cuda 12.0 on driver is unverified")


@pytest.mark.parametrize(
    ("items", "name", "shown"),
    [
        (("tensorflow==2.15",), "python", [">=3.9,<3.12"]),
        (("tensorrt==8.6.1",), "driver", [">=450.80.02"]),
        (("tensorrt==8.6.1", "cuda==12.1"), "driver", [">=525.60.13"]),
        (("onnxruntime==1.17",), "opset", [">=7,<21"]),
    ],
)
def test_range(envctl: Program, items: tuple[str, ...], name: str, shown: list[str]) -> None:
    ran = envctl("matrix", "range", *items, name, "--json")
    assert ran.code == 0
    assert ran.json["range"] == shown
    assert ran.json["chain"]
    assert envctl("matrix", "range", *items, name).out.startswith(f"{name} {' or '.join(shown)}\n")


def test_range_of_what_no_fact_links_is_unknown(envctl: Program) -> None:
    ran = envctl("matrix", "range", "openvino==2024.6", "docker")
    assert ran.code == 1
    assert ran.out.startswith("unknown: no fact links")
