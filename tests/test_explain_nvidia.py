"""The NVIDIA half of a set of logs that a judge has graded, and lines whose several causes must all be named."""

from __future__ import annotations

import pytest

from tests.test_symptoms import cases, explained, lines

GRADED = cases("fourth_explaina")


@pytest.mark.parametrize("case", GRADED, ids=lambda case: str(case["source"]).removeprefix("https://github.com/"))
def test_graded_logs_stay_right(case: dict[str, object]) -> None:
    """The rules have learnt from these: a regression, no figure for unseen logs."""
    first = explained(lines(case))[0]
    assert first.rule.id in case["right"]  # type: ignore[operator]
    assert not case.get("program") or first.confidence != "sure"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("Failed to initialize NVML: Driver/library version mismatch", ("rebooted", "stale link", "ldconfig -p")),
        ("Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all", ("/run/cdi", "--cdi-spec-dir")),
        ("nvidia-container-cli: initialization error: WSL environment detected but no adapters were found: unknown",
         ("has none", "WSL 1", "take the GPU request away")),
        ("Serialization assertion magicTagRead == kMAGIC_TAG failed.Magic tag does not match",
         ("another major release", "metadata", "LFS pointer")),
        ("CUDA error: forward compatibility was attempted on non supported HW", ("compat", "not rebooted", "reboot")),
        ("nvcc fatal   : Unsupported gpu architecture 'compute_35'", ("CUDA 12 dropped", "CMAKE_CUDA_ARCHITECTURES")),
        ("RuntimeError: CUDA error: initialization error", ("forked", "spawn", "driver")),
        ("Bus error (core dumped)", ("/dev/shm", "disk", "emptyDir")),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_each_known_cause_of_a_line_is_named_with_its_fix(log: str, words: tuple[str, ...]) -> None:
    first = explained(log)[0]
    said = " ".join((first.cause, *first.fix))
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(
    "log",
    [
        "nvidia: module verification failed: signature and/or required key missing - tainting kernel",
        "g++ -o app app.o -L/usr/local/cuda/lib64/stubs/libcuda.so -lcudart",
        "ii  libnvinfer_lean 10.3.0  amd64  TensorRT lean runtime",
    ],
)
def test_notices_and_listings_are_no_cause(log: str) -> None:
    assert {cause.confidence for cause in explained(log)} <= {"possible"}


@pytest.mark.parametrize(
    ("arch", "rule"),
    [("compute_30", "cuda-toolkit-dropped-gpu"), ("compute_70", "cuda-toolkit-dropped-gpu"),
     ("compute_89", "cuda-toolkit-too-old-for-gpu"), ("compute_120a", "cuda-toolkit-too-old-for-gpu")],
)  # fmt: skip
def test_old_and_new_architectures_are_told_apart(arch: str, rule: str) -> None:
    assert explained(f"nvcc fatal   : Unsupported gpu architecture '{arch}'")[0].rule.id == rule
