"""Libraries of the engines as a process will really load them: cuDNN, TensorRT, cuBLAS, OpenCL, Vulkan."""

from __future__ import annotations

import re
from typing import Any

from envctl.doctor.check import Check, Facts, Finding, Level, ok, skip
from envctl.doctor.checks.cuda import runtimes
from envctl.doctor.checks.driver_parts import may_use
from envctl.doctor.checks.gpu import has_gpu, info, with_gpu

SOFTWARE_VULKAN = re.compile(r"lvp_|llvmpipe|swrast")
PROVIDERS = {
    "providers_cuda": "onnxruntime-gpu (CUDA)",
    "providers_tensorrt": "onnxruntime-gpu (TensorRT)",
    "providers_openvino": "onnxruntime-openvino",
    "libnvinfer": "tensorrt",
    "intel_gpu_plugin": "openvino (GPU)",
}


def broken(said: str, *evidence: str, affects: str, fix: tuple[str, ...], level: Level = "FAIL") -> Finding:
    """A library that keeps one engine from its GPU."""
    return Finding(level=level, said=said, evidence=evidence, affects=(affects,), fix=fix)


def found(facts: Facts, stem: str) -> dict[str, dict[str, Any]]:
    """The libraries of one name that the loader finds, by soname."""
    return {name: it for name, it in facts.need("libraries").items() if name.startswith(stem + ".so") and "path" in it}


def unloadable(facts: Facts, stem: str, affects: str) -> Finding | None:
    """FAIL, with the loader's words, for a library that is there and lacks another one: the innermost is named."""
    for name, it in facts.need("libraries").items():
        error = it.get("error", "")
        if name.startswith(stem + ".so") and error and not error.startswith(name) and "cannot open" in error:
            lacks = error.partition(":")[0]
            fix = (f"install the package that has {lacks}, of the same CUDA", "sudo ldconfig")
            said = f"{name} does not load: {lacks} is missing"
            return broken(said, f"dlopen {name} = {error}", affects=affects, fix=fix)
    return None


@with_gpu
def cudnn(facts: Facts) -> Finding:
    """FAIL where a cuDNN is there and not whole."""
    if failed := unloadable(facts, "libcudnn", "everything with cuDNN"):
        return failed
    there = found(facts, "libcudnn")
    if not there:
        return skip("no cuDNN is on the loader's path: wheels bring their own")
    for name, it in there.items():
        if it.get("lacks"):
            said = f"cuDNN {it['version']} is not whole: {', '.join(it['lacks'])} missing"
            fix = (f"reinstall cuDNN: sudo apt-get install --reinstall libcudnn{name[-1]}-cuda-*", "sudo ldconfig")
            return broken(said, f"{name} = {it['path']}", affects="everything with cuDNN", fix=fix)
    shown = [f"{it['path']} = {it['version']}" for it in there.values()]
    return ok(f"cuDNN {', '.join(str(it['version']) for it in there.values())} loads", *shown)


@with_gpu
def tensorrt(facts: Facts) -> Finding:
    """FAIL where a TensorRT does not load or not for this GPU; WARN where there are several."""
    if failed := unloadable(facts, "libnvinfer", "tensorrt"):
        return failed
    there = found(facts, "libnvinfer")
    if not there:
        return skip("no TensorRT is on the loader's path: wheels bring their own")
    shown = [f"{it['path']} = {it['version']}" for it in there.values()]
    for it in runtimes(facts, "tensorrt"):
        for no in it["unmet"]:
            if no["kind"] == "needs":
                said = f"TensorRT {it['version']} needs {no['name']} {no['wants']}; this is {no['has']}"
                return broken(
                    said,
                    *shown,
                    no["source"],
                    affects="tensorrt",
                    fix=("install a TensorRT that admits it: envctl matrix range tensorrt",),
                )
    if len(there) > 1:
        said = f"{len(there)} versions of TensorRT are on the loader's path: engine files fit one only"
        return broken(
            said, *shown, affects="tensorrt", fix=("keep one: sudo apt-get remove libnvinfer*",), level="WARN"
        )
    return ok(f"TensorRT {next(iter(there.values()))['version']} loads", *shown)


@with_gpu
def cublas(facts: Facts) -> Finding:
    """WARN where cuBLAS and cuBLASLt come from different toolkits."""
    pairs = found(facts, "libcublas"), found(facts, "libcublasLt")
    if not any(pairs):
        return skip("no cuBLAS is on the loader's path: wheels bring their own")
    for name, it in pairs[0].items():
        other = pairs[1].get(name.replace("libcublas", "libcublasLt"))
        if other and it["version"] != other["version"]:
            said = f"cuBLAS {it['version']} and cuBLASLt {other['version']} are of different toolkits: tactics are lost"
            fix = ("let LD_LIBRARY_PATH name one toolkit only",)
            return broken(said, it["path"], other["path"], affects="tensorrt, onnxruntime-gpu", fix=fix, level="WARN")
    return ok("cuBLAS and cuBLASLt fit together", *[it["path"] for it in pairs[0].values()])


@with_gpu
def search_path(facts: Facts) -> Finding:
    """WARN where a toolkit lies in /usr/local and the loader does not look there."""
    there = facts.need("libraries")
    for path in facts.need("cuda_files"):
        stem, _, number = path.rpartition("/")[2].partition(".so.")
        series = number.split(".")[0]
        sonames = [name for name in there if name.startswith(f"{stem}.so.{series}")]
        if sonames and not any("path" in there[name] for name in sonames) and not unloadable(facts, stem, ""):
            folder = path.rpartition("/")[0]
            said = f"{stem} {number} lies in {folder}, where the loader does not look"
            fix = (f"echo {folder} | sudo tee /etc/ld.so.conf.d/cuda.conf", "sudo ldconfig")
            return broken(
                said, path, str(there[sonames[0]].get("error")), affects="everything with CUDA", fix=fix, level="WARN"
            )
    return ok("the loader finds what lies in /usr/local/cuda*", facts.shown("cuda_files"))


def closure(facts: Facts) -> Finding:
    """FAIL where an installed engine's GPU library lacks another: it would run on the CPU without a word."""
    if not has_gpu(facts) and not facts.get("intel_gpus"):
        return skip("there is no GPU")
    engines = facts.need("engine_libraries")
    gaps = [(it, [name for name in it["missing"] if name not in it["in_wheels"]]) for it in engines]
    gaps = sorted((pair for pair in gaps if pair[1]), key=lambda pair: "tensorrt" in pair[0]["file"])
    if gaps:
        it, missing = gaps[0]
        provider = next((name for part, name in PROVIDERS.items() if part in it["file"]), "an engine")
        said = f"{provider} lacks {', '.join(missing)}, and would fall back to the CPU"
        level: Level = "WARN" if "providers_tensorrt" in it["file"] else "FAIL"
        fix = (f"install the wheel or package that has {missing[0]}", "or use an environment that envctl made")
        return broken(said, it["file"], affects=provider, fix=fix, level=level)
    if any(it["in_wheels"] for it in engines):
        said = "engines find their CUDA libraries in wheels only, after onnxruntime.preload_dlls() or import torch"
        return info(said, *[it["file"] for it in engines if it["in_wheels"]])
    return (
        ok("engines in the Python environment find their libraries", facts.shown("engine_libraries"))
        if engines
        else skip("no GPU engine is in this Python environment")
    )


def opencl(facts: Facts) -> Finding:
    """WARN or FAIL where OpenVINO could not use an Intel GPU that is there."""
    drivers = facts.need("opencl_drivers")
    for it in drivers:
        if it["error"]:
            said = f"the OpenCL driver {it['icd']} names {it['library']}, which does not load"
            fix = ("reinstall the package that owns it: dpkg -S " + it["icd"],)
            return broken(said, it["error"], affects="openvino (GPU)", fix=fix, level="WARN")
    if not facts.need("intel_gpus"):
        return skip("there is no Intel GPU")
    intel = [it for it in drivers if re.search(r"intel|libigdrcl", f"{it['icd']} {it['library']}")]
    if not intel or "path" not in facts.need("libraries").get("libOpenCL.so.1", {}):
        said = "an Intel GPU is there, and its OpenCL driver is not: OpenVINO runs on the CPU"
        return info(said, facts.shown("intel_gpus"), fix=("sudo apt-get install intel-opencl-icd ocl-icd-libopencl1",))
    return _render_nodes(facts)


def _render_nodes(facts: Facts) -> Finding:
    ids, nodes = facts.need("ids"), facts.need("render_nodes")
    if not nodes:
        said = "an Intel GPU is there, and no render node: in a container, it was not handed in"
        return broken(
            said, facts.shown("render_nodes"), affects="openvino (GPU)", fix=("docker run --device /dev/dri …",)
        )
    if not any(may_use(it, ids) for it in nodes.values()):
        path, node = next(iter(nodes.items()))
        fix = (f'sudo usermod -aG "$(stat -c %G {path})" "$USER"', "log in again")
        said = f"this user may not open {path}: OpenVINO cannot use the Intel GPU"
        return broken(said, f"{path} = {node['mode']}, group {node['gid']}", affects="openvino (GPU)", fix=fix)
    return ok("OpenVINO can use the Intel GPU", facts.shown("render_nodes"))


def level_zero(facts: Facts) -> Finding:
    """INFO where the Intel GPU has no Level-Zero driver."""
    if not facts.need("intel_gpus"):
        return skip("there is no Intel GPU")
    there = facts.need("libraries")
    missing = [name for name in ("libze_loader.so.1", "libze_intel_gpu.so.1") if "path" not in there.get(name, {})]
    if missing:
        fix = ("sudo apt-get install libze1 libze-intel-gpu1",)
        return info(f"no Level-Zero for the Intel GPU ({', '.join(missing)})", fix=fix)
    return ok("Level-Zero is there", str(there["libze_intel_gpu.so.1"]["path"]))


def vulkan(facts: Facts) -> Finding:
    """WARN where ncnn would find no Vulkan driver of the GPU."""
    drivers = facts.need("vulkan_drivers")
    for it in drivers:
        if it["error"]:
            said = f"the Vulkan driver {it['icd']} names {it['library']}, which does not load"
            return broken(
                said,
                it["error"],
                affects="ncnn (GPU)",
                fix=("reinstall the package that owns it: dpkg -S " + it["icd"],),
                level="WARN",
            )
    if not has_gpu(facts) and not facts.get("intel_gpus"):
        return skip("there is no GPU")
    real = [it for it in drivers if not SOFTWARE_VULKAN.search(it["icd"])]
    if not real or "path" not in facts.need("libraries").get("libvulkan.so.1", {}):
        said = "no Vulkan driver of the GPU, or no Vulkan loader: ncnn runs on the CPU"
        return info(
            said,
            facts.shown("vulkan_drivers"),
            fix=("sudo apt-get install libvulkan1", "and the full driver, with graphics"),
        )
    return ok("Vulkan has a driver of the GPU", *[it["icd"] for it in real])


INTEL_GUIDE = "https://docs.openvino.ai/2024/get-started/configurations/configurations-intel-gpu.html"
CHECKS: tuple[Check, ...] = (
    Check(
        id="lib.path",
        title="Loader's path",
        rule=search_path,
        source="https://github.com/tensorflow/tensorflow/issues/60646",
    ),
    Check(
        id="lib.cudnn",
        title="cuDNN",
        rule=cudnn,
        after=("lib.path",),
        source="https://github.com/memoavatar/memo/issues/13",
    ),
    Check(
        id="lib.trt",
        title="TensorRT",
        rule=tensorrt,
        after=("lib.cudnn",),
        source="https://docs.nvidia.com/deeplearning/tensorrt/",
    ),
    Check(id="lib.cublas", title="cuBLAS", rule=cublas, source="https://github.com/NVIDIA/TensorRT/issues/1893"),
    Check(
        id="lib.closure",
        title="Libraries of installed engines",
        rule=closure,
        after=("lib.path", "lib.cudnn", "lib.trt"),
        source="https://github.com/microsoft/onnxruntime/issues/19602",
    ),
    Check(id="lib.opencl", title="OpenCL on an Intel GPU", rule=opencl, source=INTEL_GUIDE),
    Check(id="lib.levelzero", title="Level-Zero", rule=level_zero, after=("lib.opencl",), source=INTEL_GUIDE),
    Check(id="lib.vulkan", title="Vulkan", rule=vulkan, source="https://github.com/nihui/realsr-ncnn-vulkan/issues/18"),
)
