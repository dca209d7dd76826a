"""Which findings concern what --for named: the others are counted, and do not decide the exit code. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from envctl.doctor.check import GPU_ENGINES, Verdict
from envctl.doctor.wanted import Wants

ABOUT_FILES = ("file.", "onnx.", "model.", "plan.", "trt.")
# what a finding says it affects -> every engine meets it, wherever it runs
EVERYTHING = (
    "every engine",
    "every engine on the CPU",
    "the whole machine",
    "installing packages",
    "package downloads",
)
WITH_CUDA = ("everything with CUDA", "everything with cuDNN")
CONTAINERS = ("GPU engines in containers", "engines in containers", "--runner docker", "docker build on this image")


def asked(verdicts: Iterable[Verdict], wants: Wants) -> frozenset[str]:
    """The ids of the checks that are about what was named itself."""
    prefixes = (*ABOUT_FILES, "img.") if "image_platform" in wants.facts else ABOUT_FILES
    return frozenset(each.id for each in verdicts if each.id == "engine" or each.id.startswith(prefixes))


def concerning(verdicts: Iterable[Verdict], wants: Wants) -> frozenset[str]:
    """The ids of the checks that are about what was named, or whose finding affects it."""
    known = list(verdicts)
    return asked(known, wants) | {each.id for each in known if _concerns(each, wants)}


def _concerns(verdict: Verdict, wants: Wants) -> bool:
    words = [part.strip() for each in verdict.finding.affects for part in each.split(",")]
    return any(_meets(word, wants, "image_platform" in wants.facts) for word in words)


def _meets(word: str, wants: Wants, image: bool) -> bool:
    names = {engine.name for engine in wants.engines}
    if word in EVERYTHING or word in (names | {f"{name} (GPU)" for name in names}):
        return True
    if image and (word in CONTAINERS or (word in GPU_ENGINES and _uses_gpu(wants))):
        return True
    cuda = any(name.startswith(("tensorrt", "onnxruntime-gpu", "cuda", "cudnn")) for name in names)
    return cuda and (word in WITH_CUDA or (word == "onnxruntime-gpu" and _builds_of(names)))


def _builds_of(names: set[str]) -> bool:
    return any(name.startswith("onnxruntime-gpu") for name in names)


def _uses_gpu(wants: Wants) -> bool:
    """Whether the image asks for NVIDIA's devices."""
    return bool((wants.value("image_environment") or {}).get("NVIDIA_VISIBLE_DEVICES"))
