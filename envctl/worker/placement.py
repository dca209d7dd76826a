"""Which provider ran each node of a model, read from ONNX Runtime's own profile of one run.

What a provider was asked for says nothing of where nodes run: those that it has no kernel for go to the CPU in silence.
Shapes are computed on the CPU by design, and nobody loses time by that: integers may be there, floats may not.
https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html
"""

import collections
import json
import os
import re
import sys

from failure import StepFailed

CPU = "CPUExecutionProvider"
KERNEL = "_kernel_time"
CUDA_LIBRARY = re.compile(r"lib(cudnn|cublas|cudart|cufft|curand|nvrtc|nvJitLink)[\w-]*\.so")
INT8_KERNEL = re.compile(r"QLinear|QGemm|QAttention|ConvInteger|MatMulInteger|DynamicQuantize(?!Linear)")
COMPUTED = ("float", "float16", "bfloat16", "double")


def watch(options):
    """Have the first run profiled."""
    options.enable_profiling = True
    options.profile_file_prefix = os.path.join(os.environ["TMPDIR"], "profile")


def read(path):
    """(provider, operator, node, types of its outputs) of every node that ran, in order."""
    with open(path, encoding="utf-8") as stream:
        events = json.load(stream)
    os.remove(path)
    return [
        (event["args"]["provider"], event["args"]["op_name"], event["name"][: -len(KERNEL)], types(event["args"]))
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL) and event["args"].get("provider")
    ]


def types(said):
    return {name for output in said.get("output_type_shape") or [] for name in output}


def check(nodes, provider, allowed):
    """Raise where nothing ran on the provider, or a node that computes ran on the CPU."""
    strayed = ["%s (%s)" % (node, op) for where, op, node, kinds in nodes if where == CPU and kinds & set(COMPUTED)]
    if not any(where == provider for where, _, _, _ in nodes):
        raise StepFailed("no-device", "no node ran on %s" % provider)
    if strayed and not allowed:
        what = "%d of %d nodes ran on the CPU: %s" % (len(strayed), len(nodes), ", ".join(strayed[:5]))
        raise StepFailed("no-device", what + "; --allow-fallback takes that")


def layers(nodes):
    """How many kernels ran, after the optimiser's fusions, and how many of them compute in int8."""
    distinct = {(node, op) for _, op, node, _ in nodes}
    ops = [op for _, op in distinct]
    low = [op for op in ops if INT8_KERNEL.match(op)]
    said = {"layers": str(len(ops)), "layers_by": "ONNX Runtime's profile of one run"}
    return dict(said, int8_layers=str(len(low))) if low or "DequantizeLinear" in ops else said


def float16_kernels(nodes):
    """How many kernels give float16: where a CPU has none, the weights are cast and float32 is computed."""
    return str(len({node for _, op, node, kinds in nodes if "float16" in kinds and op != "Cast"}))


def libraries():
    """The CUDA libraries that this process has loaded, which must come from its environment: where one is missing
    there, the loader takes another of the same name from anywhere (seen with cuDNN taken out: docs/gpu.md)."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as stream:
        paths = {line.split(None, 5)[5].strip() for line in stream if len(line.split(None, 5)) == 6}
    found = sorted(path for path in paths if CUDA_LIBRARY.match(os.path.basename(path)))
    inside = os.path.realpath(sys.prefix) + os.sep
    strange = [path for path in found if not os.path.realpath(path).startswith(inside) and not linked(path)]
    if strange:
        raise StepFailed("engine-missing", "loaded from outside the environment: " + ", ".join(strange[:5]))
    return " ".join(os.path.basename(path) for path in found)


def linked(path):
    """Whether it is a file of the environment that lies in a cache under another name: the same file."""
    name = os.path.basename(path)
    for folder, _, files in os.walk(os.path.join(sys.prefix, "lib")):
        if name in files and os.path.samefile(os.path.join(folder, name), path):
            return True
    return False


def told(nodes):
    """How many nodes each provider ran, in words."""
    counted = collections.Counter(where.replace("ExecutionProvider", "") for where, _, _, _ in nodes)
    return ", ".join("%d %s" % (count, where) for where, count in counted.most_common())
