"""A built engine that shall be run: refused with the reason before any engine is asked, where it cannot be loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from envctl.errors import BadInput, HostLacks, Reason
from envctl.host import HostFacts
from envctl.matrix import Matrix
from envctl.model import plan_header, sniff
from envctl.model.plan_header import PlanFacts
from envctl.request import Known
from envctl.runner import Runner
from envctl.spec import read_spec
from envctl.tree import sha256_of
from envctl.workflow.ask import Ask
from envctl.workflow.plan import known_facts, plan

SIDECAR = ".envctl.json"
HEADER_FACT = {"tensorrt": "tensorrt-plan", "tensorrt-rtx": "tensorrt-rtx-plan"}


def is_plan(path: Path) -> bool:
    """Whether a file is a built engine, by its content."""
    if not path.is_file():
        return False
    kind = sniff.kind_at(path)
    return kind is not None and kind.id == "plan"


def refuse(ask: Ask, path: Path, matrix: Matrix, host: HostFacts, runner: Runner) -> HostLacks:
    """Raises the reason for which this engine file cannot run with what was asked for; returns the one that is left
    when there is none: that this version of envctl executes nothing on GPUs."""
    found = plan_header.read(path)
    told = sidecar(path)
    _whole(found, told, path)
    if found.engine != ask.engine:
        do = [f"ask for the engine that built it: --{read_spec(found.engine).option} {_three(found.version)}".rstrip()]
        raise BadInput(f"{path} is a {read_spec(found.engine).title} engine, not one of {ask.engine}", do=do)
    _release(ask, found, matrix, host, runner)
    _gpu(found, told, host)
    do = ["run it with the application that it was built for; envctl builds, checks and keeps it"]
    return HostLacks(f"{path} fits, and this version of envctl does not execute on GPUs", do=do)


def _three(version: str) -> str:
    return ".".join(version.split(".")[:3])


def sidecar(path: Path) -> dict[str, Any]:
    """What envctl wrote beside the file when it built it; empty without one."""
    try:
        told = json.loads(path.with_suffix(SIDECAR).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _whole(found: PlanFacts, told: dict[str, Any], path: Path) -> None:
    """Raise for a file that was cut off, or changed since envctl built it."""
    do = ["copy it again in binary mode, or build it again: envctl run … convert MODEL.onnx"]
    if found.said and found.said != found.size:
        raise BadInput(f"{path} is not whole: its header speaks of {found.said} bytes, there are {found.size}", do=do)
    digest = (told.get("files") or {}).get(path.name)
    if digest and digest != sha256_of(path):
        because = [Reason(text="its SHA-256 is another one", source=path.with_suffix(SIDECAR).name)]
        raise BadInput(f"{path} is not the file that envctl built", because=because, do=do)


def _release(ask: Ask, found: PlanFacts, matrix: Matrix, host: HostFacts, runner: Runner) -> None:
    """Raise `NoStack` with the matrix's own claim where no release that fits the pins loads what this one wrote."""
    if not found.version:
        do = ["build it again from the ONNX model with the release that shall run it"]
        raise BadInput(f"{found.name} does not say which TensorRT built it: one before 8.6", do=do)
    header = Known(values=(found.version,), origin=f"header of {found.name}")
    known = known_facts(host, runner, None, ask.gpu) | {HEADER_FACT[found.engine]: header}
    plan(matrix, ask.engine, ask.pins, known, runner)


def _gpu(found: PlanFacts, told: dict[str, Any], host: HostFacts) -> None:
    """Raise where there is no GPU, or none of those that the engine was built for."""
    here = (host.value("gpu") or "").split()
    if not here:
        because = [Reason(text=f"{found.name} is {found.engine} {found.version}", source="its header")]
        do = ["take it to the machine with the GPU; envctl doctor --for FILE says there whether it loads"]
        raise HostLacks(f"{found.name} runs on an NVIDIA GPU, and none is known here", because=because, do=do)
    built = built_for(told)
    if built and not set(built) & set(here):
        because = [
            Reason(text=f"it was built for {' '.join(built)}", source=f"sidecar of {found.name}"),
            Reason(text=f"this host has {' '.join(here)}", source=host.facts["gpu"].origin),
        ]
        do = [f"build it here, or for this GPU: envctl run --gpu {here[0]} … convert MODEL.onnx"]
        raise HostLacks(f"{found.name} was built for another GPU", because=because, do=do)


def built_for(told: dict[str, Any]) -> list[str]:
    """The compute capabilities that the build named, else those of the machine that it was built on: TensorRT builds
    for the GPU that is there. For RTX, nothing named means all of its default."""
    step = (told.get("steps") or {}).get("convert") or {}
    said = (step.get("read_back") or {}).get("compute_capabilities", "")
    named = [word for word in said.split() if word[:1].isdigit()]
    if named or told.get("engine") != "tensorrt":
        return named
    return str((told.get("host") or {}).get("gpu") or "").split()
