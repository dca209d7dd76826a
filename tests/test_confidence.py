"""How sure an explanation may be: faults of programs, lines with several causes, rivals, what a log leaves open."""

from __future__ import annotations

import re

import pytest

from envctl.diagnose.rank import _filled
from envctl.workflow.explain import described
from tests.test_symptoms import RULES, cases, explained, lines


@pytest.mark.parametrize("case", [it for it in cases("third") if it.get("program")], ids=lambda case: case["source"])
def test_faults_of_programs_are_no_more_than_possible(case: dict[str, object]) -> None:
    """The cause was found in the program or its data: no fault of the environment is blamed."""
    assert {cause.confidence for cause in explained(lines(case))} <= {"possible"}


@pytest.mark.parametrize(
    "line",
    [
        "Segmentation fault (core dumped)",
        "RuntimeError: CUDA error: an illegal memory access was encountered",
        "CUDA failure 700: an illegal memory access was encountered",
        "onnxruntime FAILED: NotImplemented",
        "RuntimeError: [NOT_IMPLEMENTED] Input image format FP16 is not supported yet",
        "Process finished with exit code 137",
        "CUDA error: unknown error",
        "ImportError: DLL load failed while importing onnxruntime_pybind11_state: A dynamic link library failed.",
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate",
        "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object",
    ],
)
def test_lines_with_several_causes_are_never_sure(line: str) -> None:
    assert "sure" not in {cause.confidence for cause in explained(line)}


@pytest.mark.parametrize(
    "line",
    [
        "ValueError: cannot reshape array of size 3 into shape (2,2)",
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x512 and 1024x10)",
        "KeyError: 'model'",
        "IndexError: list index out of range",
        "TypeError: forward() missing 1 required positional argument: 'x'",
        "AssertionError: Expected 3 channels",
        "ZeroDivisionError: division by zero",
        "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    ],
)
def test_bugs_of_a_program_are_not_explained(line: str) -> None:
    assert explained(f'  File "/srv/work/train.py", line 12, in main\n{line}') == []


def test_only_one_cause_is_sure_and_rivals_make_it_likely() -> None:
    sure = explained("RuntimeError: module compiled against API version 0x10 but this version of numpy is 0xe")
    assert [cause.confidence for cause in sure] == ["sure"]
    both = explained(
        "ImportError: libc10.so: cannot open shared object file: No such file or directory\n"
        "ImportError: /v/flash_attn_2_cuda.so: undefined symbol: _ZN3c105ErrorC2ENS_14SourceLocationESs\n"
    )
    assert [(cause.rule.id, cause.confidence) for cause in both] == [
        ("torch-extension-mismatch", "likely"),
        ("torch-library-missing", "likely"),
    ]


def test_what_the_next_line_of_a_message_says_is_in_the_cause() -> None:
    found = explained(
        "Opset 20 is under development\n and support for this is limited.\n"
        "Current official support for domain ai.onnx is till opset 19."
    )
    assert "opset (20) is newer than this runtime's newest (19)" in found[0].cause


def test_causes_read_well_when_the_log_names_nothing() -> None:
    """No gap stays where a pattern without a group found the line."""
    texts = [_filled(rule.cause, {}) for rule in RULES]
    assert [text for text in texts if re.search(r"[{}\0]|some (\w+) \1|\(\)|  ", text)] == []


def test_facts_of_a_jetson_tell_where_its_libraries_come_from() -> None:
    line = "OSError: libcurand.so.10: cannot open shared object file: No such file or directory"
    assert explained(line)[0].rule.id == "cuda-library-missing"
    assert explained(line, described("jetpack=5.0.1"))[0].rule.id == "jetson-cuda-not-mounted"
    assert explained(line, described("l4t=32.7.1"))[0].rule.id == "jetson-cuda-not-mounted"
