"""Logs of frameworks, Python and networks that the rules have learnt from, and lines of theirs with several causes."""

from __future__ import annotations

import pytest

from tests.test_symptoms import cases, explained, lines

FOURTH = cases("fourth_explainb")


@pytest.mark.parametrize("case", FOURTH, ids=lambda case: case["source"])
def test_logs_of_the_fourth_round(case: dict[str, object]) -> None:
    """Their cause is named first; a fault of the program is no more than possible."""
    first = explained(lines(case))[0]
    assert first.rule.id in case["right"]  # type: ignore[operator]
    assert not case.get("program") or first.confidence == "possible"


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: Could not find a version that satisfies the requirement tensorflow (from versions: none)",
        "ERROR: Could not find a version that satisfies the requirement onnxruntime==1.18.0 (from versions: 1.12.0)",
        "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.",
        "NotFoundError: /v/tensorflow/core/kernels/libtfkernel_sobol_op.so: undefined symbol: _ZN10tensorflow5Shape",
        "UserWarning: Specified provider 'CUDAExecutionProvider' is not in available provider names.",
        "x509: certificate signed by unknown authority",
        "SSLError: certificate verify failed: certificate has expired (_ssl.c:1129)",
        "vkEnumeratePhysicalDevices failed -3",
        "ModuleNotFoundError: No module named 'onnxruntime.training'",
        'RuntimeError: Device with "GPU" name is not registered in the OpenVINO Runtime',
        "OSError: libfoo.so.3: cannot open shared object file: No such file or directory",
    ],
)
def test_lines_of_frameworks_with_several_causes_are_never_sure(line: str) -> None:
    assert {cause.confidence for cause in explained(line)} == {"likely"}


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("ModuleNotFoundError: No module named 'numpy._core'", "numpy-older-than-wanted"),
        ("AttributeError: module 'numpy' has no attribute 'bool8'", "numpy2-name-removed"),
        ("ImportError: cannot import name '_center' from 'numpy._core.umath'", "numpy-mixed"),
        ("AttributeError: module 'ml_dtypes' has no attribute 'float8_e4m3b11'", "ml-dtypes-too-new"),
        ("VersionError: Detected mismatched Protobuf Gencode/Runtime major versions: gencode 5.28.3 runtime 7.1.0",
         "protobuf-gencode"),
    ],
)  # fmt: skip
def test_too_old_and_too_new_are_told_apart(line: str, rule: str) -> None:
    assert explained(line)[0].rule.id == rule
