"""Checks of Python environments: whole, on their own, and without two packages that overwrite one another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from envctl.doctor.check import GPU_ENGINES, Check, Facts, Finding, ok
from envctl.doctor.checks.packages import installer

Environment = dict[str, Any]
ISOLATION_SOURCE = "https://github.com/nv-tlabs/vipe/issues/42"
DOUBLE_SOURCE = "https://github.com/microsoft/onnxruntime/issues/26996"
LEFTOVER_SOURCE = "https://github.com/pypa/pip/issues/9906"
JETSON_SOURCE = "https://github.com/dusty-nv/jetson-containers/issues/1495"
# distributions that put the same module in the same place: only the one installed last is whole
SAME_MODULE = {
    "onnxruntime": (
        "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-training",
        "onnxruntime-rocm", "onnxruntime-qnn", "ort-nightly", "ort-nightly-gpu",
    ),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-intel", "tf-nightly"),
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
}  # fmt: skip
GPU_BUILDS = {"onnxruntime-gpu": "cuda", "onnxruntime-openvino": "openvino"}  # distribution: provider it brings
CPU_ONLY = ("onnxruntime", "tensorflow-cpu")
ENGINES = ("tensorflow", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "torch", "ncnn", "mxnet")
CUDA_SUFFIX = re.compile(r"^nvidia-.*-cu(\d+)$")


def _seen(environment: Environment) -> dict[str, tuple[str, Any]]:
    """Distribution -> version and the folder it comes from, as this environment sees it."""
    found: dict[str, tuple[str, Any]] = {}
    for site in environment["sites"]:
        for name, version in site["distributions"].items():
            found.setdefault(name, (version, site))
    return found


def base(facts: Facts) -> Finding:
    """Whether the interpreter that an environment was made with is still there, and still the same."""
    environments = facts.need("python_environments")
    broken = [(one, why) for one in environments for why in [_why_broken(one)] if why]
    if not broken:
        return ok(
            "every environment has its interpreter", *(f"{e['python']} = {e['interpreter']}" for e in environments)
        )
    one, why = broken[0]
    return Finding(
        level="FAIL",
        said=f"the environment {one['prefix']} ({one['how']}) is broken: {why}",
        evidence=tuple(f"{found['python']} = {reason}" for found, reason in broken),
        affects=("every engine installed there",),
        fix=tuple(
            f"make it again: uv venv --clear --python {found['version']} {found['prefix']}" for found, _ in broken
        ),
    )


def _why_broken(one: Environment) -> str:
    if one["venv"] and not one["interpreter"]:
        return "its interpreter is gone"
    if one["venv"] and one["interpreter_version"] not in (None, one["version"]):
        return f"it was made for Python {one['version']}, its interpreter is {one['interpreter_version']} now"
    return ""


def isolation(facts: Facts) -> Finding:
    """Whether packages from outside stand in front of an environment's own."""
    leaks = [leak for one in facts.need("python_environments") for leak in _leaks(one)]
    if not leaks:
        return ok("no environment takes engines from elsewhere", facts.shown("python_variables"))
    one, name, version, site = leaks[0]
    said = f"{one['prefix']} ({one['how']}) takes {name} {version} from {site['path']} instead of its own packages"
    fix = "unset PYTHONPATH" if site["kind"] == "PYTHONPATH" else "export PYTHONNOUSERSITE=1"
    return Finding(
        level="WARN",
        said=said,
        evidence=tuple(f"{site['path']} = {name} {version}" for _, name, version, site in leaks),
        affects=tuple(dict.fromkeys(name for _, name, _, _ in leaks)),
        fix=(fix,),
    )


def _leaks(one: Environment) -> Iterator[tuple[Environment, str, str, Any]]:
    """Engines and NumPy seen from outside, in an environment that is meant to stand on its own."""
    if one["venv"] or one["conda"]:
        for name, (version, site) in _seen(one).items():
            if site["kind"] in ("user", "PYTHONPATH") and name in (*ENGINES, "numpy", "protobuf"):
                yield one, name, version, site


def variables(facts: Facts) -> Finding:
    """Whether a variable sends every Python to the wrong standard library."""
    found = facts.need("python_variables")
    if found.get("PYTHONHOME"):
        said = (
            f"PYTHONHOME is {found['PYTHONHOME']}: every other Python takes its standard library from there and fails"
        )
        evidence = (f"PYTHONHOME = {found['PYTHONHOME']}",)
        affects = ("every engine",)
        return Finding(level="FAIL", said=said, evidence=evidence, affects=affects, fix=("unset PYTHONHOME",))
    target = next((name for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_USER") if found.get(name)), None)
    if target:
        said = f"{target} is set: pip installs into another folder than the environment it is called from"
        evidence = (f"{target} = {found[target]}",)
        affects = ("installing packages",)
        return Finding(level="WARN", said=said, evidence=evidence, affects=affects, fix=(f"unset {target}",))
    return ok("no variable bends Python", facts.shown("python_variables"))


def same_module(facts: Facts) -> Finding:
    """Whether two distributions overwrite one another's module, and whether the build for the GPU is whole."""
    doubles = [found for one in facts.need("python_environments") for found in _doubles(one)]
    if not doubles:
        return ok(
            "no two packages share a module", f"{len(facts.need('python_environments'))} environments = looked at"
        )
    one, module, names, missing = doubles[0]
    if len(names) > 1:
        keep = next((name for name in names if name in GPU_BUILDS), names[0])
        said = (
            f"{' and '.join(names)} in {one['prefix']} overwrite one another: {module} may do without the GPU, silently"
        )
    else:
        keep = names[0]
        said = f"{keep} in {one['prefix']} lacks its {missing} provider: it computes on the CPU, silently"
    remove = f"{installer(facts, one['prefix'], 'uninstall')} {' '.join(names)}"
    again = f"{installer(facts, one['prefix'])} {keep}=={_seen(one)[keep][0]}"
    evidence = (f"{one['prefix']} = {', '.join(f'{name} {_seen(one)[name][0]}' for name in names)}",)
    return Finding(level="FAIL", said=said, evidence=evidence, affects=tuple(names), fix=(remove, again))


def _doubles(one: Environment) -> Iterator[tuple[Environment, str, list[str], str]]:
    seen = _seen(one)
    for module, distributions in SAME_MODULE.items():
        names = [name for name in distributions if name in seen]
        if len(names) > 1 and module != "cv2":
            yield one, module, names, ""
        for name in names:
            site = seen[name][1]
            if len(names) == 1 and name in GPU_BUILDS and GPU_BUILDS[name] not in site["onnxruntime_providers"]:
                yield one, module, names, GPU_BUILDS[name]


def mixed_cuda(facts: Facts) -> Finding:
    """Whether CUDA libraries of several major versions stand in one environment."""
    for one in facts.need("python_environments"):
        majors: dict[str, list[str]] = {}
        for name in _seen(one):
            if match := CUDA_SUFFIX.match(name):
                majors.setdefault(match[1], []).append(name)
        if len(majors) > 1:
            words = " and ".join(f"CUDA {major}" for major in sorted(majors))
            few = min(majors.values(), key=len)
            return Finding(
                level="WARN",
                said=f"{one['prefix']} holds libraries of {words}: which one a process loads is chance",
                evidence=tuple(f"{one['prefix']} = {' '.join(sorted(names))}" for names in majors.values()),
                affects=GPU_ENGINES,
                fix=(f"{installer(facts, one['prefix'], 'uninstall')} {' '.join(sorted(few))}",),
            )
    return ok(
        "no environment mixes CUDA versions", f"{len(facts.need('python_environments'))} environments = looked at"
    )


def builds(facts: Facts) -> Finding:
    """Whether builds for the CPU stand where there is a GPU."""
    tegra = (facts.get("machine_kind") or {}).get("tegra")
    if not tegra and not int(facts.need("nvidia_pci")):
        return ok("no GPU here that a build for the CPU would leave idle", facts.shown("nvidia_pci"))
    found = [(one, *hit) for one in facts.need("python_environments") for hit in _cpu_builds(one, bool(tegra))]
    if not found:
        return ok("no build for the CPU alone stands in the way", facts.shown("nvidia_pci"))
    one, name, version = found[0]
    jetson = "take NVIDIA's wheel for this JetPack, or a dustynv/l4t container"
    return Finding(
        level="WARN" if tegra else "INFO",
        said=f"{name} {version} in {one['prefix']} is a build for the CPU: the GPU of this machine stays idle",
        evidence=tuple(f"{e['prefix']} = {n} {v}" for e, n, v in found),
        affects=tuple(dict.fromkeys(n for _, n, _ in found)),
        fix=(jetson if tegra else f"{installer(facts, one['prefix'])} {_for_gpu(name)}",),
    )


def _cpu_builds(one: Environment, tegra: bool) -> Iterator[tuple[str, str]]:
    for name, (version, _) in _seen(one).items():
        generic = tegra and name == "torch" and "nv" not in version
        if name in CPU_ONLY or version.endswith("+cpu") or generic:
            yield name, version


def _for_gpu(name: str) -> str:
    return {"onnxruntime": "onnxruntime-gpu", "tensorflow-cpu": "'tensorflow[and-cuda]'"}.get(name, name)


def leftovers(facts: Facts) -> Finding:
    """Whether an installation was cut off: folders named ~… or one distribution with two versions."""
    for one in facts.need("python_environments"):
        for site in one["sites"]:
            halves = [f"{name} {' and '.join(versions)}" for name, versions in site["doubled"].items()]
            if halves or site["leftovers"]:
                return _cut_off(facts, one, site, halves)
    return ok("no installation was cut off", f"{len(facts.need('python_environments'))} environments = looked at")


def _cut_off(facts: Facts, one: Environment, site: Any, halves: list[str]) -> Finding:
    said = f"an installation in {site['path']} was cut off: " + ", ".join([*halves, *site["leftovers"]])
    remove = tuple(f"rm -r {site['path']}/{name}" for name in site["leftovers"])
    whole = " ".join(f"{name}=={versions[-1]}" for name, versions in site["doubled"].items())
    again = f"{installer(facts, one['prefix'])} --force-reinstall {whole}"
    return Finding(
        level="WARN",
        said=said,
        evidence=tuple(f"{site['path']} = {what}" for what in [*halves, *site["leftovers"]]),
        affects=tuple(site["doubled"]) or ("installing packages",),
        fix=(*remove, *((again,) if halves else ())),
    )


def pip_cache(facts: Facts) -> Finding:
    """Whether pip's cache holds wheels that were cut off."""
    cache = facts.need("pip_cache")
    if not cache["cut"]:
        return ok("pip's cache is whole", f"{cache['path']} = no cut wheel")
    said = f"pip's cache holds {len(cache['cut'])} wheel(s) that were cut off: installing from it fails"
    evidence = tuple(f"{path} = no end of a zip file" for path in cache["cut"][:5])
    affects = ("installing packages",)
    return Finding(level="WARN", said=said, evidence=evidence, affects=affects, fix=("python -m pip cache purge",))


CHECKS: tuple[Check, ...] = (
    Check(id="py.base", title="Interpreters", rule=base),
    Check(id="py.variables", title="Python's variables", rule=variables),
    Check(id="py.isolation", title="Isolation", rule=isolation, source=ISOLATION_SOURCE),
    Check(id="py.leftovers", title="Whole installations", rule=leftovers, source=LEFTOVER_SOURCE),
    Check(id="py.ort_dup", title="One package a module", rule=same_module, after=("py.base",), source=DOUBLE_SOURCE),
    Check(id="lib.mixcuda", title="One CUDA", rule=mixed_cuda, after=("py.base",)),
    Check(id="py.cpu_wheel", title="Builds for the GPU", rule=builds, after=("py.ort_dup",), source=JETSON_SOURCE),
    Check(id="py.pip_cache", title="pip's cache", rule=pip_cache),
)
