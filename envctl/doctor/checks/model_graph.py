"""A model file that --for named (onnx.dtypes, onnx.shapes, onnx.ops, model.memory): what is in it against an engine."""

from __future__ import annotations

from typing import Any

from packaging.specifiers import SpecifierSet

from envctl.doctor.check import Check, Facts, Finding, Level, ok, skip
from envctl.doctor.checks.model_file import THIS, engines_of, model_of
from envctl.doctor.checks.sizes import size


def dtypes(facts: Facts) -> Finding:
    """onnx.dtypes: the element types of inputs, outputs and weights are ONNX's, and taken by the engine."""
    model = model_of(facts)
    types = {tensor["dtype"] for key in ("inputs", "outputs") for tensor in model[key]} | set(model["weights"])
    shown = f"{model['name']} = {', '.join(sorted(types))}"
    unknown = sorted(name for name in types if name.startswith("type ") or not name)
    if unknown:
        said = f"element types that ONNX does not have: {', '.join(unknown)}"
        fix = ("export it again; envctl may be older than the model",)
        return Finding(level="FAIL", said=said, evidence=(shown,), affects=THIS, fix=fix)
    found = [finding for each in engines_of(facts) if (finding := _types(facts, each, types, shown))]
    worst: dict[Level, int] = {"FAIL": 0, "INFO": 1, "OK": 2}
    if found:
        return min(found, key=lambda finding: worst[finding.level])
    if engines_of(facts):
        names = ", ".join(each["engine"] for each in engines_of(facts))
        return skip(f"nothing is known of the element types that {names} takes")
    return ok("all element types are ONNX's own; an engine may take fewer: --for ENGINE", shown)


def _types(facts: Facts, engine: dict[str, Any], types: set[str], shown: str) -> Finding | None:
    """What an engine makes of the types; None where nothing is known of that."""
    row = _row(facts, engine)
    if row is None:
        return None
    evidence = (shown, f"{engine['engine']} {row['when']} = {row['source']}")
    refused = sorted(types - set(row["takes"]) - set(row["casts"]))
    if refused:
        said = f"{engine['engine']} {engine['version']} lists no {', '.join(refused)}, and the model has it"
        fix = (
            "cast these weights and inputs to float32 or int32 before exporting",
            "or fold them away: onnxsim MODEL OUT",
        )
        return Finding(level="FAIL", said=said, evidence=evidence, affects=(engine["engine"],), fix=fix)
    cast = [f"{old} becomes {row['casts'][old]}" for old in sorted(types & set(row["casts"]))]
    if cast:
        said = f"{engine['engine']} {engine['version']} clamps values beyond the smaller type: {', '.join(cast)}"
        return Finding(level="INFO", said=said, evidence=evidence)
    return ok(f"{engine['engine']} {engine['version']} takes every element type of it", *evidence)


def _row(facts: Facts, engine: dict[str, Any]) -> dict[str, Any] | None:
    spec = (facts.get("engine_specs") or {}).get(engine["engine"])
    rows: list[dict[str, Any]] = spec["types"] if spec and engine["version"] else []
    return next((row for row in rows if SpecifierSet(row["when"]).contains(engine["version"], prereleases=True)), None)


def shapes(facts: Facts) -> Finding:
    """onnx.shapes: inputs whose sizes are left open, which some engines must be told."""
    model = model_of(facts)
    shown = tuple(f"{model['name']} = {_tensor(tensor)}" for tensor in model["inputs"])
    without = [tensor["name"] for tensor in model["inputs"] if tensor["shape"] is None]
    if without:
        said = f"inputs without any shape: {', '.join(without)}; no engine can be told what to expect"
        told = (f"envctl run … --shape {without[0]}=1,3,224,224", "or export the model with the shapes of its inputs")
        return Finding(level="WARN", said=said, evidence=shown, affects=THIS, fix=told)
    open_ = [tensor for tensor in model["inputs"] if None in tensor["shape"]]
    if not open_:
        return ok("the sizes of all inputs are fixed", *shown)
    said = f"sizes left open: {'; '.join(map(_tensor, open_))}; envctl takes 1 for each unless told"
    options = " ".join(
        f"--shape {it['name']}={','.join('1' if d is None else str(d) for d in it['shape'])}" for it in open_
    )
    fix = [f"envctl run … {options}"]
    specs = facts.get("engine_specs") or {}
    built = [each["engine"] for each in engines_of(facts) if (specs.get(each["engine"]) or {}).get("runs_on") != "cpu"]
    ahead = [name for name in built if name.startswith("tensorrt")]
    if not ahead:
        return Finding(level="INFO", said=said, evidence=shown, fix=tuple(fix))
    profile = " ".join(f"--{word}Shapes={open_[0]['name']}:…" for word in ("min", "opt", "max"))
    said = f"{ahead[0]} needs an optimisation profile: {said}"
    return Finding(level="WARN", said=said, evidence=shown, affects=tuple(ahead), fix=(*fix, f"trtexec {profile}"))


def _tensor(tensor: dict[str, Any]) -> str:
    sizes = "?" if tensor["shape"] is None else ",".join("?" if d is None else str(d) for d in tensor["shape"])
    return f"{tensor['name']} {tensor['dtype']}[{sizes}]"


def operators(facts: Facts) -> Finding:
    """onnx.ops: operators outside ONNX's own domain are known to the engine."""
    model = model_of(facts)
    if found := _lacked(facts, model):
        return found
    others: list[str] = model["other_ops"]
    if not others:
        return ok("all operators are ONNX's own, or defined in the model", f"{model['name']} = ai.onnx")
    shown = (f"{model['name']} = {', '.join(others[:8])}",)
    specs = facts.get("engine_specs") or {}
    for engine in engines_of(facts):
        spec = specs.get(engine["engine"])
        missing = [op for op in others if spec and op.rpartition(":")[0] not in spec["domains"]]
        if missing and spec:
            said = f"{spec['title']} has no operator {', '.join(missing[:5])}"
            evidence = (*shown, f"{spec['title']} = {', '.join(spec['domains'])}")
            fix = ("replace the custom operators before exporting, or define them as functions of the model",)
            return Finding(level="FAIL", said=said, evidence=evidence, affects=(engine["engine"],), fix=fix)
    judged = [each["engine"] for each in engines_of(facts) if specs.get(each["engine"])]
    if judged:
        return ok(f"{', '.join(judged)} knows the domains of all its operators", *shown)
    said = f"operators outside ONNX's own domain ({', '.join(others[:5])}): not every engine has them"
    return Finding(level="INFO", said=said, evidence=shown, fix=("name the engine: --for MODEL --for ENGINE",))


def _lacked(facts: Facts, model: dict[str, Any]) -> Finding | None:
    """Operators of ONNX's own that an engine was found to lack; None where nothing is known to be lacking."""
    for engine in engines_of(facts):
        spec: dict[str, Any] = (facts.get("engine_specs") or {}).get(engine["engine"]) or {}
        for row in spec.get("lacks", []) if engine["version"] else []:
            names = sorted(set(row["names"]) & set(model["ops"]))
            if names and SpecifierSet(row["when"]).contains(engine["version"], prereleases=True):
                said = f"{spec['title']} {engine['version']} has no operator {', '.join(names[:5])}"
                shown = (f"{model['name']} = {', '.join(names[:8])}", f"{spec['title']} = {row['source']}")
                fix = ("the nodes, and an engine that has it: envctl run --ENGINE VERSION verify MODEL --plan",)
                return Finding(level="FAIL", said=said, evidence=shown, affects=(engine["engine"],), fix=fix)
    return None


def memory(facts: Facts) -> Finding:
    """model.memory: the model's weights fit into memory, and into the GPU's where that is to run it."""
    model = model_of(facts)
    wanted, shown = int(model["size"]), f"{model['name']} and its weights = {size(int(model['size']))}"
    rooms = {"this machine": facts.get("memory"), "this control group": facts.get("memory_limit")}
    if any(each["gpu"] for each in engines_of(facts)):
        gpus = [it.get("memory") for it in (facts.get("nvml") or {}).get("gpus") or [] if it.get("memory")]
        rooms["the largest GPU"] = max(gpus, default=None)
    there = {name: int(room) for name, room in rooms.items() if room}
    if not there:
        return skip("the memory of this machine is not known")
    evidence = (shown, *(f"{name} = {size(room)}" for name, room in there.items()))
    name, room = min(there.items(), key=lambda item: item[1])
    fix = ("use a machine with more memory, or quantise the model (int8 is a quarter of float32)",)
    if wanted > room:
        said = f"the weights alone ({size(wanted)}) are more than {name} has ({size(room)})"
        return Finding(level="FAIL", said=said, evidence=evidence, affects=THIS, fix=fix)
    if 2 * wanted > room:
        said = f"a conversion holds the weights twice ({size(2 * wanted)}): {name} has {size(room)}"
        return Finding(level="WARN", said=said, evidence=evidence, affects=THIS, fix=fix)
    return ok(f"{size(wanted)} of weights fit into {name} ({size(room)})", *evidence)


CHECKS: tuple[Check, ...] = (
    Check(
        id="onnx.dtypes", title="Element types of the model", rule=dtypes, after=("file.kind", "file.external"),
        source="https://github.com/onnx/onnx-tensorrt/blob/release/10.1-GA/docs/operators.md",
    ),
    Check(
        id="onnx.shapes", title="Shapes of the inputs", rule=shapes, after=("file.kind", "file.external"),
        source="https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-dynamic-shapes.html",
    ),
    Check(
        id="onnx.ops", title="Operators of the model", rule=operators, after=("file.kind", "file.external"),
        source="https://github.com/onnx/onnx/blob/main/docs/IR.md",
    ),
    Check(
        id="model.memory", title="Memory for the model", rule=memory, after=("file.kind", "file.external"),
        source="docs/run.md#runners",
    ),
)  # fmt: skip
