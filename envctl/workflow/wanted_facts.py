"""What the files and images that --for named say of themselves, as facts for the doctor's rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from envctl import model
from envctl.doctor.wanted import Engine, Wants
from envctl.errors import BadInput, HostLacks, Reason
from envctl.host import Fact
from envctl.matrix import Matrix
from envctl.model import ModelFacts, WeightsAway, plan_header, sniff
from envctl.request import Pin
from envctl.spec import engines as specified
from envctl.spec import read_spec
from envctl.tree import payload, sha256_of
from envctl.versions import parse_pin
from envctl.workflow import wanted_model
from envctl.workflow.wanted import Thing, read_words

SIDECAR = ".envctl.json"
ONNX_OR_PLAN = ("onnx", "tensorrt-plan", "tensorrt-rtx-plan")
IMAGE_SECONDS = 60  # an archive's layers are read through to list them
NOT_HERE = "404"  # of an engine that has no such image


def read_wants(matrix: Matrix, words: tuple[str, ...], *, redact: bool = False) -> Wants:
    """Everything that --for named, with the facts of each file and image. Nothing is pulled or run."""
    engines, things = read_words(matrix, words)
    facts: dict[str, Fact] = {}
    names = tuple(each.name for each in engines)
    for thing in things:
        facts |= image_facts(thing, redact) if thing.kind == "image" else file_facts(thing, names)
    if (plan := facts.get("plan")) and plan.value and plan.value["engine"] not in {each.name for each in engines}:
        engines = (*engines, _builder(plan.value))
    readers = frozenset(_readers(matrix))
    facts["engine_specs"] = _fact("engine_specs", {each.name: _spec(each.name) for each in engines}, "images/*.toml")
    return Wants(engines=engines, facts=facts, readers=readers)


def _builder(plan: dict[str, Any]) -> Engine:
    """The release that built an engine file: the only one that is sure to load it."""
    name, version = plan["engine"], ".".join(plan["version"].split(".")[:3])
    pins = (Pin(name=name, condition=parse_pin(name, version), said=f"header of {plan['name']}"),) if version else ()
    return Engine(name=name, said=f"{name} {version}".strip(), pins=pins)


def _fact(name: str, value: Any, origin: str, error: str = "") -> Fact:
    return Fact(name=name, value=value, origin=origin, error=error)


def _readers(matrix: Matrix) -> list[str]:
    """The engines that read ONNX: those whose image spec says so, and those that claim something of an opset."""
    found = [name for name in specified() if "onnx" in read_spec(name).formats]
    for name in matrix.names():
        component = matrix.component(name)
        if component.kind == "engine" and any(c.name == "opset" for row in component.releases for c in row.requires):
            found.append(name)
    return found


def _spec(name: str) -> dict[str, Any] | None:
    """What an engine's image spec says of models; all builds of ONNX Runtime read the same."""
    name = "onnxruntime" if name.startswith("onnxruntime") else name
    if name not in specified():
        return None
    spec = read_spec(name)
    types = [asdict(row) for row in spec.types]
    lacks = [{"when": row.when, "names": sorted(row.names), "source": row.source} for row in spec.lacks]
    told = {"title": spec.title, "domains": sorted(spec.domains), "types": types, "runs_on": spec.runs_on}
    return told | {"lacks": lacks}


def _inspected(path: Path) -> ModelFacts | None:
    """What a file of any format says of itself; None where it is no model: the reader of ONNX says what it is then."""
    try:
        return model.inspect(path)
    except BadInput:
        return None


def file_facts(thing: Thing, named: tuple[str, ...] = ()) -> dict[str, Fact]:
    """The facts of a model or an engine file, and the way of one that is no ONNX to engines (to those `named`); what is
    wrong with it is a fact too (`file_problem`)."""
    path, origin = Path(thing.name), f"file {Path(thing.name).name}"
    facts = {"file": _fact("file", _kind(path, thing), origin)}
    try:
        if thing.kind == "plan":
            value = asdict(plan_header.read(path)) | {"sidecar": _sidecar(path)}
            return facts | {"plan": _fact("plan", value, origin)}
        if (other := _inspected(path)) and other.format not in ONNX_OR_PLAN:
            return facts | {"other_model": _fact("other_model", wanted_model.described(other, named), origin)}
        return facts | {"model": _fact("model", described(model.read(path)), origin)}
    except BadInput as error:
        value = {"what": _unplaced(error.what, path), "do": error.do, "weights": isinstance(error, WeightsAway)}
        why = _fact("file_problem", value, origin)
        return facts | {"file_problem": why, thing.kind: _fact(thing.kind, None, origin, value["what"])}


def _unplaced(text: str, path: Path) -> str:
    """The text with the file's name in place of its path: reports name no folders of anybody's."""
    return text.replace(str(path), path.name)


def _kind(path: Path, thing: Thing) -> dict[str, Any]:
    try:
        kind = sniff.kind_at(path)
    except BadInput:
        kind = None
    found = kind or (sniff.ONNX if thing.kind == "model" else None)
    told = {"id": found.id, "title": found.title, "engines": list(found.engines)} if found else {}
    return {"name": path.name, "asked": thing.kind, **told}


def described(facts: ModelFacts) -> dict[str, Any]:
    """A model's header as plain data; of operators only those outside ONNX's own domain are named."""
    own = {"ai.onnx"}
    return {
        "name": facts.path.name,
        "size": sum(path.stat().st_size for path in facts.files()),
        "ir": facts.ir,
        "opsets": dict(sorted(facts.opsets.items())),
        "inputs": [asdict(tensor) for tensor in facts.inputs],
        "outputs": [asdict(tensor) for tensor in facts.outputs],
        "weights": sorted(facts.weights),
        "ops": sorted(op for domain, op in facts.ops - facts.functions if domain == "ai.onnx"),
        "other_ops": [f"{domain}:{op}" for domain, op in facts.foreign_ops(frozenset(own))],
        "external": list(facts.external),
        "producer": facts.producer,
    }


def _sidecar(path: Path) -> dict[str, Any] | None:
    """What envctl wrote beside an engine file: the GPU and driver of the machine, and whether the file is still that
    one."""
    note = path.with_suffix(SIDECAR)
    try:
        told = json.loads(note.read_text(encoding="utf-8"))
        digest, host = told["files"].get(path.name), told["host"]
        same = digest == sha256_of(path) if digest else None
        return {"name": note.name, "same": same, "gpu": host.get("gpu"), "driver": host.get("driver")}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None  # none, or none of ours


def image_facts(thing: Thing, redact: bool) -> dict[str, Fact]:
    """What an image says of itself, told by the probe; raises where it is not here."""
    command = [sys.executable, "-I", "-S", str(payload("probes") / "image.py"), *(["--redact"] if redact else [])]
    environment = {**os.environ, "ENVCTL_IMAGE": thing.name}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=IMAGE_SECONDS, check=False)
        told = json.loads(done.stdout)["facts"]
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        raise HostLacks(f"the image {thing.said} could not be looked at", because=[Reason(text=str(error))]) from error
    facts = {each["name"]: Fact(**{**each, "error": each["error"] or ""}) for each in told}
    _refuse_absent(thing, facts["image_platform"])
    return facts


def _refuse_absent(thing: Thing, platform: Fact) -> None:
    if platform.value is not None:
        return
    because = [Reason(text=platform.error)]
    if ":" in thing.name and thing.name.partition(":")[0] in ("oci", "archive"):
        raise BadInput(f"{thing.said} is no image that can be read", because=because, do=["save it again: docker save"])
    if NOT_HERE in platform.error:
        do = [f"docker pull {thing.name}", "or check the name: docker images; engines: envctl matrix show"]
        raise BadInput(
            f"there is no file, engine or image {thing.said} here; nothing is pulled", because=because, do=do
        )
    do = ["name an archive instead (docker save), or start the daemon: envctl doctor --only dk.socket"]
    raise HostLacks(f"no container engine can be asked about the image {thing.said}", because=because, do=do)
