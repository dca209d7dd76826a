"""A model file that --for named (file.kind, file.external, onnx.version): what it is, and which release reads it."""

from __future__ import annotations

from typing import Any

from envctl.doctor.check import Check, Facts, Finding, Unknown, ok, skip

THIS = ("this model",)
NO_FILE = "no model or engine file was named: --for FILE"
NO_MODEL = "no model was named: --for MODEL"
VERSIONING = "https://github.com/onnx/onnx/blob/main/docs/Versioning.md"
NAMES = {"opset": "opset", "opset-ml": "opset of ai.onnx.ml", "ir": "IR version"}


def model_of(facts: Facts) -> dict[str, Any]:
    """The header of the model that was named; raises `Unknown` where there is none, or it could not be read."""
    if "model" not in facts.host.facts:
        raise Unknown(NO_MODEL)
    found: dict[str, Any] = facts.need("model")
    return found


def engines_of(facts: Facts) -> list[dict[str, Any]]:
    """The engines that were named, with what the solver says of them."""
    found: list[dict[str, Any]] = facts.get("wanted_engines") or []
    return found


def kind(facts: Facts) -> Finding:
    """file.kind: the file is what its name says, and whole, and something that the named engine loads."""
    if "file" not in facts.host.facts:
        return skip(NO_FILE)
    if other := facts.get("other_model"):
        return _other(other)
    file, problem = facts.need("file"), facts.get("file_problem")
    named = [each["engine"] for each in engines_of(facts)]
    shown = f"{file['name']} = {file.get('title', 'nothing known')}"
    if problem and not problem["weights"]:
        loads = [name for name in named if name in file.get("engines", ())]
        foreign = bool(file.get("engines")) and file["asked"] == "model"
        if foreign and loads == named:
            said = f"{problem['what']}: envctl reads nothing of it, {' and '.join(loads or file['engines'])} loads it"
            return Finding(level="INFO", said=said, evidence=(shown,), fix=tuple(problem["do"]))
        return Finding(level="FAIL", said=problem["what"], evidence=(shown,), affects=THIS, fix=tuple(problem["do"]))
    blind = [each["engine"] for each in engines_of(facts) if not each["reads_onnx"]]
    if blind and file.get("id") == "onnx":
        said = f"{', '.join(blind)} loads no ONNX models, and this is one"
        fix = ("name an engine that does: " + "onnxruntime, openvino, tensorrt", "or convert the model for it first")
        return Finding(level="FAIL", said=said, evidence=(shown,), affects=tuple(blind), fix=fix)
    return ok(f"it is {file.get('title', 'an engine file')}", shown)


def _other(model: dict[str, Any]) -> Finding:
    """A model of another format than ONNX: who takes it, and by which way."""
    shown = (f"{model['name']} = {model['format']} {model['written_by']}".rstrip(), *model["inputs"])
    cannot = [way for way in model["ways"] if way["why"]]
    if cannot or not model["ways"]:
        said = f"{', '.join(way['engine'] for way in cannot) or 'no engine'} cannot take {model['format']} models"
        affects = tuple(way["engine"] for way in cannot) or THIS
        return Finding(level="FAIL", said=said, evidence=shown, affects=affects, fix=tuple(model["do"]))
    told: dict[str, list[str]] = {}
    for way in model["ways"]:
        told.setdefault(f"through {way['through']}" if way["through"] else "as it is", []).append(way["engine"])
    read = "; ".join(f"{how} by {', '.join(names)}" for how, names in sorted(told.items()))
    return ok(f"it is a model of format {model['format']}, read {read}", *shown)


def external(facts: Facts) -> Finding:
    """file.external: weights that are kept beside the model are there, and inside its folder."""
    problem = facts.get("file_problem")
    if problem and problem["weights"]:
        shown = f"{facts.need('file')['name']} = names files beside it"
        return Finding(level="FAIL", said=problem["what"], evidence=(shown,), affects=THIS, fix=tuple(problem["do"]))
    names = model_of(facts)["external"]
    if not names:
        return ok("all weights are in the model file", "external_data = none")
    return ok(f"the weights kept in {', '.join(names)} are there", f"external_data = {', '.join(names)}")


def version(facts: Facts) -> Finding:
    """onnx.version: IR and opsets are known to ONNX, and to a release of the engine."""
    model = model_of(facts)
    shown = [f"{model['name']} = IR {model['ir']}, " + ", ".join(f"{d} {v}" for d, v in model["opsets"].items())]
    for name, it in (facts.get("model_newest") or {}).items():
        if int(it["has"]) > int(it["newest"]):
            said = f"the model says {NAMES[name]} {it['has']}; no ONNX release knows more than {it['newest']}"
            fix = ("export it again: the number is wrong, or the file is damaged",)
            evidence = (*shown, f"newest = {it['newest']} ({it['source']})")
            return Finding(level="FAIL", said=said, evidence=evidence, affects=THIS, fix=fix)
    readers: list[dict[str, Any]] = facts.need("model_readers")
    shown += [_reader(each) for each in readers]
    known = [each for each in readers if each["known"]]
    cannot = [each for each in known if each["reads"] is None]
    if cannot and (engines_of(facts) or cannot == known):
        return _unread(model, cannot[0], shown)
    if not known:
        return skip(f"the matrix says nothing of the opsets that {', '.join(each['said'] for each in readers)} reads")
    older = [each for each in known if each["reads"] and each["reads"] != each["newest"]]
    if older:
        said = "not the newest release reads it: " + ", ".join(f"{each['engine']} {each['reads']}" for each in older)
        return Finding(level="INFO", said=said, evidence=tuple(shown))
    if cannot:
        said = f"it is not read by {', '.join(each['engine'] for each in cannot)}; others read it"
        return Finding(level="INFO", said=said, evidence=tuple(shown))
    return ok("its IR version and opsets are read by " + ", ".join(_short(each) for each in known), *shown)


def _short(reader: dict[str, Any]) -> str:
    return f"{reader['engine']} {reader['reads']}"


def _reader(reader: dict[str, Any]) -> str:
    if not reader["known"]:
        return f"{reader['said']} = nothing known of its opsets"
    limit = f"; {reader['newest']} needs {reader['name']} {reader['wants']}" if "wants" in reader else ""
    return f"{reader['said']} = {reader['reads'] or 'no release'} reads it{limit} ({reader.get('source', 'matrices/')})"


def _unread(model: dict[str, Any], reader: dict[str, Any], shown: list[str]) -> Finding:
    has = {"ir": model["ir"], "opset": model["opsets"].get("ai.onnx", 1)}.get(reader["name"], "?")
    said = f"{reader['said']} reads {NAMES[reader['name']]} {reader['wants']}; the model has {has}"
    fix = [f"export the model with {NAMES[reader['name']]} {reader['wants']}"]
    if reader["oldest"]:
        fix.insert(
            0, f"take {reader['engine']} {reader['oldest']} or newer: --for '{reader['engine']}>={reader['oldest']}'"
        )
    return Finding(level="FAIL", said=said, evidence=tuple(shown), affects=(reader["engine"],), fix=tuple(fix))


CHECKS: tuple[Check, ...] = (
    Check(id="file.kind", title="What the file is", rule=kind, source="docs/doctor.md#--for"),
    Check(
        id="file.external", title="Weights beside the model", rule=external, after=("file.kind",),
        source="https://github.com/onnx/onnx/blob/main/docs/ExternalData.md",
    ),
    Check(
        id="onnx.version", title="IR version and opsets", rule=version, after=("file.kind", "file.external"),
        source=VERSIONING,
    ),
)  # fmt: skip
