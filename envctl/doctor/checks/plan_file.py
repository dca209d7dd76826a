"""An engine file of TensorRT that --for named (plan.match, trt.sm): its header against the TensorRT and GPUs here."""

from __future__ import annotations

from typing import Any

from envctl.doctor.check import Check, Facts, Finding, Unknown, ok, skip

THIS = ("this engine file",)
NO_PLAN = "no engine file was named: --for PLAN"
SOURCE = "https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/engine-compatibility.html"
REBUILD = "build it again on this machine: envctl run {option} convert MODEL.onnx"
OPTIONS = {"tensorrt": "--trt", "tensorrt-rtx": "--trt-rtx"}


def plan_of(facts: Facts) -> dict[str, Any]:
    """The header of the engine file; raises `Unknown` where none was named, or it could not be read."""
    if "plan" not in facts.host.facts:
        raise Unknown(NO_PLAN)
    found: dict[str, Any] = facts.need("plan")
    return found


def match(facts: Facts) -> Finding:
    """plan.match: the file is whole, and the TensorRT of this machine is the one that it was built for."""
    plan, here = plan_of(facts), facts.need("plan_here")
    rebuild = REBUILD.format(option=OPTIONS[plan["engine"]])
    shown = [f"{plan['name']} = {plan['engine']} {plan['version'] or '(an old release)'}, {plan['size']} bytes"]
    if damage := _damage(plan):
        return Finding(level="FAIL", said=damage, evidence=tuple(shown), affects=THIS, fix=(rebuild,))
    if plan["before"]:
        return _notes(plan, shown)
    if not here["library"]:
        said = f"it needs {plan['engine']} {plan['version'] or 'of before 8.6'}; the loader finds none here"
        version = ".".join(plan["version"].split(".")[:3])
        pinned = f"{OPTIONS[plan['engine']]} {version}" if version else OPTIONS[plan["engine"]]
        return Finding(level="INFO", said=said, evidence=tuple(shown), fix=(f"envctl run {pinned} -- COMMAND",))
    shown.append(f"{here['path']} = TensorRT {here['library']}")
    if here["loads"] == "yes":
        return ok(f"built by TensorRT {plan['version']}, which is the one here", *shown)
    built = f"TensorRT {plan['version']}" if plan["version"] else "a TensorRT of before 8.6"
    if here["loads"] == "version-compatible":
        said = f"built by {built}, here is {here['library']}: loads only where it was built version-compatible"
        fix = (rebuild, "or build with --versionCompatible (8.6 and newer)")
        return Finding(level="WARN", said=said, evidence=tuple(shown), affects=THIS, fix=fix)
    said = f"built by {built}; the TensorRT here is {here['library']}, and engine files are for one release"
    fix = (rebuild, f"or run it with its own release: envctl run --trt {'.'.join(plan['version'].split('.')[:3])} …")
    return Finding(level="FAIL", said=said, evidence=tuple(shown), affects=THIS, fix=fix)


def _damage(plan: dict[str, Any]) -> str:
    """What shows that the file is not whole; "" where nothing does."""
    sidecar = plan["sidecar"] or {}
    if plan["said"] and plan["said"] != plan["size"]:
        return f"the file is not whole: its header speaks of {plan['said']} bytes, and there are {plan['size']}"
    if sidecar.get("same") is False:
        return f"the file is not the one that envctl made: {sidecar['name']} names another SHA-256"
    return ""


def _notes(plan: dict[str, Any], shown: list[str]) -> Finding:
    said = (
        f"{plan['before']} bytes of notes stand before the engine (Ultralytics writes them): TensorRT's tools refuse it"
    )
    fix = (f"tail -c +{plan['before'] + 1} {plan['name']} > plain.engine   # what trtexec and Triton load",)
    return Finding(level="WARN", said=said, evidence=tuple(shown), affects=THIS, fix=fix)


def gpus(facts: Facts) -> Finding:
    """trt.sm: a GPU of this machine is one that the TensorRT of the file supports, and that the file was built on."""
    plan, here = plan_of(facts), facts.need("plan_here")
    there = str(facts.need("gpu")).split() if facts.get("gpu") else []
    if not there:
        return _no_gpu(facts, plan)
    shown = [f"gpu = {' '.join(there)}"]
    built = str((plan["sidecar"] or {}).get("gpu") or "").split()
    rebuild = REBUILD.format(option=OPTIONS[plan["engine"]])
    if built and plan["engine"] == "tensorrt" and not set(built) & set(there):
        said = f"built on a GPU of compute capability {' '.join(built)}; here is {' '.join(there)}"
        evidence = (*shown, f"{plan['sidecar']['name']} = gpu {' '.join(built)}")
        return Finding(level="FAIL", said=said, evidence=evidence, affects=THIS, fix=(rebuild,))
    if here["gpus"] is None:
        return skip(f"nothing is known of the GPUs of {plan['engine']} {plan['version'] or '(an old release)'}")
    shown.append(f"{plan['engine']} {plan['version']} = gpu {here['gpus']} ({here['gpus_source']})")
    if not here["fits"]:
        said = f"{plan['engine']} {plan['version']} is for GPUs {here['gpus']}; here is {' '.join(there)}"
        fix = (f"build it with a release for this GPU: envctl doctor --for {plan['engine']}",)
        return Finding(level="FAIL", said=said, evidence=tuple(shown), affects=THIS, fix=fix)
    if not built:
        said = (
            f"{plan['engine']} {plan['version']} supports this GPU; which one the file was built on is not told in it"
        )
        return Finding(level="INFO", said=said, evidence=tuple(shown))
    return ok(f"built for a GPU of compute capability {' '.join(here['fits'])}, which is here", *shown)


def _no_gpu(facts: Facts, plan: dict[str, Any]) -> Finding:
    """No GPU is known: a failure where that is certain."""
    fact = facts.host.facts.get("gpu")
    if fact is None or "not recorded" in fact.error:
        return skip(f"gpu is not known: {facts.why_unknown('gpu')}")
    said = f"an engine file of {plan['engine']} runs on an NVIDIA GPU only, and none can be used here"
    return Finding(level="FAIL", said=said, evidence=(facts.shown("gpu"),), affects=THIS, fix=("envctl doctor",))


CHECKS: tuple[Check, ...] = (
    Check(id="plan.match", title="Release of the engine file", rule=match, after=("file.kind",), source=SOURCE),
    Check(
        id="trt.sm", title="GPU of the engine file", rule=gpus, after=("file.kind",),
        source="https://docs.nvidia.com/deeplearning/tensorrt/latest/getting-started/support-matrix.html",
    ),
)  # fmt: skip
