"""What a release claims for a request, table by table, and what comes inside it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from envctl.matrix import Matrix
from envctl.release import Claim, Release
from envctl.request import Request
from envctl.versions import Condition

FACTS = ("host", "model", "package")  # kinds whose releases put limits on a stack and never wish for a component
INSIDE = "inside"  # the note of claims that say what a release contains


def claims_of(matrix: Matrix, release: Release, request: Request) -> Iterator[tuple[Claim, bool]]:
    """What a release claims for what the request is about, and whether it is a mere limit."""
    kind = matrix.component(release.component).kind
    fact = kind in FACTS
    for claim in release.requires:
        yield claim, fact
    for claim in (*(release.gpu if request.on_gpu else ()), *(release.ptx if request.ptx else ())):
        yield claim, fact and kind != "package"  # a wheel for the GPU (torch) brings its CUDA
    for claim in release.beside:
        yield claim, True
    for claim in _provided(matrix, release):
        yield claim, fact
    for claim in request.measured.get((release.component, release.version), ()):
        yield claim, False


def _provided(matrix: Matrix, release: Release) -> Iterator[Claim]:
    """What comes inside a release, as claims; names without a file (a driver's own CUDA) are only shown."""
    for name, version in release.provides.items():
        if not matrix.has(name):
            continue
        ceiling = matrix.component(name).kind == "model"  # onnx 1.14 brings opset 19, and knows all before it
        condition = Condition(any=(f"<={version}",) if ceiling else _named(version))
        owner = f"{release.component} {release.version}"
        yield Claim(
            owner=owner, name=name, condition=condition, source=release.source, evidence=release.evidence, note=INSIDE
        )


def _named(version: str) -> tuple[str, ...]:
    """`8.6.1.6` names our 8.6.1 as well, whose row has no build number; `3.10` names every 3.10.x."""
    if version[0].isalpha():  # words, as gpu-class has them
        return (version,)
    if not version.replace(".", "").isdigit():  # a pre-release or a local version: PEP 440 knows no wildcard there
        return (f"=={version}",)
    shorter = version.rpartition(".")[0]
    return (f"=={version}.*", f"=={shorter}") if version.count(".") > 2 else (f"=={version}.*",)
