"""ONNX Runtime on the CPU, through OpenVINO, or on a GPU through CUDA or TensorRT.

API: https://onnxruntime.ai/docs/api/python/api_summary.html, https://onnxruntime.ai/docs/execution-providers/
"""

import functools
import json
import os
import re
import shutil

import placement
from failure import StepFailed, lacks

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
OPENVINO, TENSORRT = "OpenVINOExecutionProvider", "TensorrtExecutionProvider"
# OpenVINO computes in bfloat16 by itself on CPUs that have it; the hint keeps it to the graph's types
HELD = {"CPU": {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1"}}
FATAL, ERROR = 4, 3
NO_KERNEL = re.compile(r"Could not find an implementation for (\w+)\((\d+)\) node with name '([^']*)'")
UNREGISTERED = re.compile(r"([\w.]*):(\w+)\(-?\d+\) is not a registered function/op")
# TF32, its default, is not float32: 10 bits of mantissa in convolutions and matrix products. The provider's option
# does not reach convolutions (measured on an H200: docs/evidence.md#onnxruntime-tf32), the libraries' variable does.
# https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#use_tf32
PRECISE = {"use_tf32": "0"}
OVERRIDE = "NVIDIA_TF32_OVERRIDE"
# Without TF32 the search for convolutions, the provider's default, has no plan for some shapes and fails the run; what
# cuDNN chooses without it has a kernel for all, three to three hundred times slower: docs/evidence.md#onnxruntime-tf32
NO_PLAN, UNSEARCHED = "CUDNN Frontend", {"cudnn_conv_algo_search": "DEFAULT"}
# numpy's names where the library has others
OTHER = {"float": "float32", "double": "float64", "string": "str"}
SAME = ("float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
TYPES = {"tensor(%s)" % name: OTHER.get(name, name) for name in list(OTHER) + list(SAME)}


def open_engine():
    import onnxruntime

    here = CUDA in onnxruntime.get_available_providers()
    # errors come back as exceptions; why a provider is not there is in the log alone
    onnxruntime.set_default_logger_severity(ERROR if here else FATAL)
    if here:
        os.environ[OVERRIDE] = "0"  # read by cuBLAS and cuDNN when they start
    if here and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA and cuDNN come as wheels, whose folders nobody else looks into


def versions():
    import numpy
    import onnxruntime

    there = onnxruntime.get_available_providers()
    name = "onnxruntime-gpu" if CUDA in there else "onnxruntime-openvino" if OPENVINO in there else "onnxruntime"
    return {name: onnxruntime.__version__, "numpy": numpy.__version__}


def session_options(options):
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = options.get("threads") or 0
    if options.get("beside_another"):
        # threads that wait do so asleep: the engine under test runs on the same cores
        chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if options.get("optimise") is False:
        chosen.graph_optimization_level = levels.ORT_DISABLE_ALL
    return chosen


def start(source, chosen, options):
    """A session whose first provider is the one asked for; the library falls back to others in silence."""
    import onnxruntime

    providers = asked_for(options)
    wanted = [each if isinstance(each, str) else each[0] for each in providers]
    lacking = [each for each in wanted if each not in onnxruntime.get_available_providers()]
    if lacking:
        raise StepFailed("engine-missing", "this onnxruntime was built without %s" % lacking[0])
    try:
        session = onnxruntime.InferenceSession(source, chosen, providers=providers)
    except Exception as error:
        raise translated(error) from error
    if session.get_providers() != wanted:
        what = "%s did not start, only %s did" % (wanted[0], " ".join(session.get_providers()))
        raise StepFailed("no-device", what)
    if hasattr(session, "disable_fallback"):
        session.disable_fallback()  # else `run` answers an error of the provider by a second try on the CPU
    return session


def asked_for(options):
    """The providers of a session, the one that was asked for first; what follows takes what that has no kernel for."""
    if options.get("provider") == "openvino":
        told = {"device_type": "CPU", "load_config": json.dumps(HELD)}
        if options.get("threads"):
            told["num_of_threads"] = str(options["threads"])
        return [(OPENVINO, told), CPU]
    if options.get("provider") == "tensorrt":
        return [(TENSORRT, {"trt_fp16_enable": "0"}), (CUDA, PRECISE), CPU]
    told = dict(PRECISE, **(UNSEARCHED if options.get("unsearched") else {}))
    return [(CUDA, told), CPU] if options.get("device") == "cuda" else [CPU]


def translated(error):
    """The same failure with its kind: ONNX Runtime raises a class a status code, all of them RuntimeErrors."""
    name, text = type(error).__name__, str(error)
    if name == "NotImplemented" or "is not a registered function/op" in text:
        return StepFailed("unsupported", text, lacking(text))
    if name in ("InvalidProtobuf", "InvalidGraph", "NoModel", "NoSuchFile") or "opset" in text.lower():
        return StepFailed("invalid-model", text)
    return error


def lacking(text):
    """The operator that its message names; it stops at the first."""
    kernel = NO_KERNEL.search(text)
    if kernel:
        why = "there is no kernel for the types that it has here (opset %s)" % kernel.group(2)
        return [lacks(kernel.group(1), kernel.group(3), why)]
    return [lacks(op, domain=domain, why="it is not registered") for domain, op in UNREGISTERED.findall(text)]


def convert(source, target, options):
    """Write the model as ONNX Runtime sees it after its hardware-independent optimisations.

    A half-precision graph is taken as it is: for the CPU, which has no such kernels, ONNX Runtime makes it float32 with
    casts in between, and would write that down (docs/evidence.md#onnxruntime-fp16).
    """
    import onnxruntime

    chosen = session_options(options)
    if options.get("half"):
        session = start(source, chosen, {})  # it can be loaded
        artifacts = as_it_is(source, target, options.get("data"))
        return {"artifacts": artifacts, "read_back": {"providers": " ".join(session.get_providers())}}
    chosen.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    chosen.optimized_model_filepath = os.path.join(target, "model.onnx")
    artifacts = ["model.onnx"]
    if options.get("data"):
        # the source's weights lie beside it: so shall the copy's, under the name that they will be delivered by
        chosen.add_session_config_entry("session.optimized_model_external_initializers_file_name", options["data"])
        chosen.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "0")
        artifacts.append(options["data"])
    session = start(source, chosen, {})  # written for any device: the CPU is enough
    return {"artifacts": artifacts, "read_back": {"providers": " ".join(session.get_providers())}}


def as_it_is(source, target, data):
    """The model copied, its outer weights in one file under the name that they will be delivered by."""
    copied = os.path.join(target, "model.onnx")
    if not data:
        shutil.copyfile(source, copied)
        return ["model.onnx"]
    import onnx_apart

    onnx_apart.copy(source, copied, data)
    return ["model.onnx", data]


def ask(source, options):
    """Raise what the library has no operator or kernel for; nothing is run."""
    start(source, session_options(dict(options, optimise=False)), {})


def shapes(source, options):
    """Element type and shape of every output, as the library infers them when it loads the model; nothing is run."""
    session = start(source, session_options(dict(options, optimise=False)), {})
    return {
        entry.name: json.dumps([TYPES.get(entry.type, entry.type), list(entry.shape)])
        for entry in session.get_outputs()
    }


def load(source, options):
    def opened(options):
        chosen = session_options(options)
        if watched(options):
            placement.watch(chosen)
        return start(source, chosen, options)

    on_gpu = must_own(options) == CUDA
    again = functools.partial(opened, dict(options, unsearched=True)) if on_gpu else None
    return Session(opened(options), options, again)


def bound(session, feed):
    """The inputs on the GPU, and room for the outputs there.
    https://onnxruntime.ai/docs/api/python/api_summary.html#data-on-device
    """
    import onnxruntime

    binding = session.io_binding()
    for name, array in feed.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, "cuda", 0))
    for entry in session.get_outputs():
        binding.bind_output(entry.name, "cuda")
    return binding


def watched(options):
    """Whether it is to be told which kernels ran where: always on a device, else where the layers are asked for."""
    return must_own(options) is not None or options.get("layers")


def must_own(options):
    """The provider that must own the nodes; None: the CPU's, which is always there."""
    first = asked_for(options)[0]
    return None if first == CPU else first[0]


class Session:
    """Inputs by name, outputs as (name, element type) in the model's order. `again` opens the model for a second try,
    with the convolutions that cuDNN chooses itself."""

    def __init__(self, session, options, again=None):
        self.session, self.options, self.again = session, options, again
        self.unsearched = False
        self.placed = None
        self.inputs = [entry.name for entry in session.get_inputs()]
        self.outputs = [(entry.name, entry.type) for entry in session.get_outputs()]

    def run(self, feed):
        answers = self.answers(feed)
        if self.placed is None and watched(self.options):
            self.placed = placement.read(self.session.end_profiling())
            if must_own(self.options):
                placement.check(self.placed, must_own(self.options), self.options.get("allow_fallback"))
        return answers

    def answers(self, feed):
        """One inference; where the search for convolutions fails, this and all others without it."""
        try:
            return self.session.run(None, feed)
        except Exception as error:
            if self.again is None or NO_PLAN not in str(error):
                raise
        self.session, self.again, self.unsearched, self.placed = self.again(), None, True, None
        return self.session.run(None, feed)

    def prepared(self, feed):
        """The library's own call, with nothing of ours around it; on a GPU inputs and outputs stay there."""
        if self.options.get("device") == "cuda":
            return functools.partial(self.session.run_with_iobinding, bound(self.session, feed))
        return functools.partial(self.session.run, None, feed)

    def lanes(self, feed, count):
        """One session takes several callers: its threads are shared. A larger batch may be the first one that the
        search for convolutions fails at."""
        if self.again:
            self.answers(feed)
        return [self.prepared(feed) for _ in range(count)]

    def read_back(self):
        """ONNX Runtime computes in the types of the graph: the precision is read from the file, not asked here."""
        providers = self.session.get_providers()
        on_cpu = set(providers) <= {CPU, OPENVINO}
        said = {"device": "CPU" if on_cpu else "CUDA", "providers": " ".join(providers)}
        if self.placed is not None:
            said.update(placement.layers(self.placed))
        if self.placed is not None and self.options.get("precision") == "fp16":
            said["float16_kernels"] = placement.float16_kernels(self.placed)
        if self.placed is not None and must_own(self.options):
            said["nodes"] = placement.told(self.placed)
        if OPENVINO in providers:
            said["precision_hint"] = "f32 (given: the provider tells none back)"
        if self.placed is not None and self.options.get("device") == "cuda":
            said["tf32"] = "off" if os.environ.get(OVERRIDE) == "0" else "on"
            said["libraries"] = placement.libraries()
            said["convolutions"] = (
                "cuDNN's own choice: its search fails without TF32" if self.unsearched else "searched"
            )
        return said
